"""Numba twins. Shapes and dtypes are checked by the public op: these kernels read what they are told to."""
