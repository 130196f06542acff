"""One module per format on disk, and what they share."""
