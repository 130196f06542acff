"""What other programs open: meshes, points, and the start of a Gaussian splatting run."""
