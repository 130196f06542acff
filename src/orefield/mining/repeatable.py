"""Whether a module can be run a second time on a part of its samples, as `mine` does."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from orefield.errors import OrefieldError

_FEW = 4
"""Samples that a module is run on again when it is first mined."""
_TF32_EPS = 2.0**-10
_checked: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()
"""Modules whose outputs were checked, and whether they were in training mode then."""


def check_parts(module: nn.Module) -> None:
    """Raise OrefieldError for parts that are known to compute something else in a second run."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        raise OrefieldError(
            "mine: the module is wrapped in DistributedDataParallel; "
            "wrap the module whose forward calls mine instead"
        )
    for name, part in module.named_modules():
        if not part.training:
            continue
        drops = isinstance(part, _DropoutNd) and part.p > 0
        if drops or isinstance(part, (_BatchNorm, nn.RReLU)):
            raise OrefieldError(
                f"mine: {name or 'the module'} is a {type(part).__name__} in training mode, which "
                "computes something else on the kept samples; put it in eval mode or leave it out"
            )
        hooks = part._forward_pre_hooks.values()
        if isinstance(part, _SpectralNorm) or any(isinstance(h, SpectralNorm) for h in hooks):
            raise OrefieldError(
                f"mine: {name or 'the module'} has spectral normalization in training mode, which "
                "changes the weights in each run; put it in eval mode or leave it out"
            )


@torch.no_grad()
def check_outputs(
    module: nn.Module, inputs: Sequence[Tensor], outputs: Sequence[Tensor], eps: float = 0.0
) -> None:
    """Run a module that is mined for the first time again on a few samples, and compare.

    `outputs` are those of all samples. `eps`: relative precision of the coarsest number format in
    use, where that is not the outputs' own. Raises OrefieldError where they differ by more than
    rounding may: the module is random, or a sample's outputs depend on other samples.
    """
    if _checked.get(module) == module.training or not len(inputs[0]) or _is_captured():
        return
    rows = torch.linspace(0, len(inputs[0]) - 1, min(_FEW, len(inputs[0]))).long()
    again = module(*(x[rows.to(x.device)] for x in inputs))
    for output, other in zip(outputs, again if isinstance(again, tuple) else (again,), strict=True):
        if not output.is_floating_point():
            continue
        first = output[rows.to(output.device)].double()
        off = torch.nan_to_num(first - other.double(), 0.0, 0.0, 0.0).norm()
        size = torch.nan_to_num(first, 0.0, 0.0, 0.0).norm()
        if off > max(eps, torch.finfo(output.dtype).eps, _matmul_eps(output)) ** 0.5 * size:
            raise OrefieldError(
                f"mine: {type(module).__name__} gave other outputs when it was run again on "
                f"{len(rows)} of the samples, {float(off / size):.1%} off: it must map each sample "
                "by itself and twice the same way; is there a dropout, noise or a normalization "
                "over samples in its forward?"
            )
    _checked[module] = module.training


def _matmul_eps(output: Tensor) -> float:
    rounds = output.device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32
    return _TF32_EPS if rounds else 0.0


def _is_captured() -> bool:
    """Whether a CUDA graph is being recorded, in which nothing can be compared."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
