"""Numba twins. The public ops check shapes and dtypes: these kernels read what they are told."""
