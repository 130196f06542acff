"""The numerical kernels: each op is a definition in torch, faster twins, and a thin autograd shell."""
