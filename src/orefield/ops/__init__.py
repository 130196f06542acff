"""The numerical kernels: an op is a definition in torch, a faster twin, and an autograd shell."""
