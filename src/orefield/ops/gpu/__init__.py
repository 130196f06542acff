"""Triton twins. The public ops check shapes and dtypes: these kernels read what they are told.

Names inside a kernel: `i_` a program's index, `o_` offsets, `m_` a mask, `p_` a pointer, `b_` a
block of values; a comment in brackets tells a block's shape. Addresses are 64 bits wide. Kernels
launch on the current device. They keep to what Triton 3.6 and 3.9 both compile and interpret: loops
over a loaded count are `while` loops, and there is no libdevice, which the interpreter lacks. Every
launch asks for or forbids fused multiply-add, because Triton's default is changing. Numbers of
samples and the like are not specialised: they would be compiled for anew, and a 1 made a constant.
"""
