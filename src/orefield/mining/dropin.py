"""Mining for any training loop: one call in place of the module's own.

    raw = net(points)          # before
    raw = mine(net, points)    # after

`mine` runs the module without building a graph. When a loss reaches its outputs, whatever renderer
lies between, it picks the hard samples from the gradient that arrives, runs the module again on
those alone, with a graph, and back-propagates through that: a checkpoint (`torch.utils.checkpoint`)
that recomputes a selection. What the graph would have held for every sample is held for the kept
ones only, and only during their own backward pass.

The parameters enter the autograd function as inputs, so their gradients leave it through autograd.
Hence accumulation, `torch.autograd.grad`, tensor hooks, gradient scalers and
DistributedDataParallel find what they find with the plain module. The second run works on aliases
of the parameters, or hooks on them would fire twice.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from orefield.config import MiningConfig, Rule
from orefield.errors import OrefieldError
from orefield.mining.hardness import hardness
from orefield.mining.repeatable import check_outputs, check_parts
from orefield.mining.rules import Selection, select
from orefield.mining.stats import MiningStats


def mine(
    module: nn.Module,
    *inputs: Tensor,
    rule: Rule | MiningConfig = "threshold",
    generator: torch.Generator | None = None,
    stats: MiningStats | None = None,
) -> Any:
    """The module's outputs, at the price of a backward pass through its hard samples only.

    The first dimension of every input and output is the samples; the outputs are a tensor or a
    tuple of tensors, of any width. Parameters and inputs that require a gradient get one. Under
    `torch.no_grad`, or with the rule `plain`, this is the module's own call.

    `rule` is a rule's name or a whole `MiningConfig`. The rules that draw take their numbers from
    `generator` (on the module's device; the global one when `None`) during the backward pass.
    `stats` records what was kept, and carries the paper's running tau; without it b follows each
    batch's own tau. Mining nothing (all gradients zero) gives zero gradients; a sample whose
    gradient is not finite is always kept, so that a gradient scaler sees it.

    Forward hooks see two calls, the second of the kept samples alone. The module must map each
    sample by itself, and twice the same way; when it is first mined, that is checked by a third
    call, of four samples. `torch.compile` breaks its graph here.

    Raises OrefieldError for dropout, RReLU, batch or spectral normalization in training mode, for a
    module that fails the check, for inputs or outputs that are not one row per sample, under
    `torch.compile(fullgraph=True)`, and for a module wrapped in DistributedDataParallel: wrap the
    module whose forward calls `mine` instead.
    """
    if torch.compiler.is_compiling():
        raise OrefieldError(
            "mine: how many samples are kept depends on the data, so it cannot be part of one "
            "compiled graph; leave out fullgraph=True, or compile the module alone"
        )
    config = rule if isinstance(rule, MiningConfig) else MiningConfig(rule=rule)
    return _uncompiled(_mine)(module, inputs, config, generator, stats)


def _mine(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    config: MiningConfig,
    generator: torch.Generator | None,
    stats: MiningStats | None,
) -> Any:
    if config.rule == "plain" or not torch.is_grad_enabled():
        return module(*inputs)
    samples = _samples(inputs)
    trained = [p for p in module.parameters() if p.requires_grad]
    tensors = (*inputs, *trained)
    if not any(x.requires_grad for x in tensors):
        return module(*inputs)
    check_parts(module)
    kind = inputs[0].device.type
    autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
    places = tuple(_places(module, trained))
    call = _Call(module, samples, len(inputs), places, config, generator, stats, autocast)
    return _Mined.apply(call, *tensors)


def _places(module: nn.Module, trained: list[nn.Parameter]) -> Iterator[tuple[str, int]]:
    """Each name under which a part of the module has a parameter, and its number in `trained`.

    A tied parameter has several; a part that is used in several places counts once.
    """
    number = {id(p): index for index, p in enumerate(trained)}
    for path, part in module.named_modules():
        for name, p in part.named_parameters(recurse=False, remove_duplicate=False):
            if id(p) in number:
                yield f"{path}.{name}" if path else name, number[id(p)]


@functools.cache
def _uncompiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, left alone by `torch.compile` when a compiled caller reaches it.

    Made when first needed, since it loads the compiler; every optimizer of torch does that too.
    """
    left_alone: Callable[..., Any] = torch.compiler.disable(function)
    return left_alone


@dataclass(frozen=True)
class _Call:
    """All that the second run must know, except tensors."""

    module: nn.Module
    samples: int
    inputs: int
    places: tuple[tuple[str, int], ...]
    """Where the module has its parameters, by name, and which ones."""
    config: MiningConfig
    generator: torch.Generator | None
    stats: MiningStats | None
    autocast_state: tuple[str, torch.dtype, bool]

    @property
    def eps(self) -> float:
        """Relative precision of autocast's number format, 0 without autocast."""
        _, dtype, enabled = self.autocast_state
        return torch.finfo(dtype).eps if enabled else 0.0

    def autocast(self) -> torch.autocast:
        """The caller's autocast, in both runs.

        Without its cache: weights cast in the run without graph would be found again, without
        graph, by whatever uses the module next, and its gradient would be lost without a word.
        """
        return torch.autocast(*self.autocast_state, cache_enabled=False)

    def choose(self, g: Float32[Tensor, " samples"]) -> Selection:
        if self.stats is None:
            return select(self.config, g, self.generator)[0]
        selection, tau = select(self.config, g, self.generator, self.stats.tau.to(g.device))
        assert tau is not None  # one was given
        self.stats.tau = tau
        self.stats.record(g, len(selection.kept))
        return selection

    def rerun(self, kept: list[Tensor]) -> tuple[Tensor, ...]:
        inputs, aliases = tuple(kept[: self.inputs]), kept[self.inputs :]
        parameters = {name: aliases[index] for name, index in self.places}
        with torch.enable_grad(), self.autocast():
            # Tied by `places`: torch's own way loses the parameters of a part that is used twice.
            called = torch.func.functional_call(self.module, parameters, inputs, tie_weights=False)
            return _as_tuple(called)


class _Mined(torch.autograd.Function):
    """(call, inputs..., parameters...) -> outputs."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> Any:
        with call.autocast():
            outputs = call.module(*tensors[: call.inputs])
            parts = _as_tuple(outputs)
            for output in parts:
                if output.dim() == 0 or len(output) != call.samples:
                    raise OrefieldError(
                        f"mine: outputs must have one row per sample ({call.samples}), "
                        f"got shape {tuple(output.shape)}"
                    )
            check_outputs(call.module, tensors[: call.inputs], parts, call.eps)
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)  # also notices parameters changed before the second run
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        found: tuple[Tensor | None, ...] = _uncompiled(_backward)(
            ctx.call, ctx.saved_tensors, wanted, grads
        )
        return None, *found


def _backward(
    call: _Call,
    tensors: tuple[Tensor, ...],
    wanted: tuple[bool, ...],
    grads: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...]:
    """Choose from the gradients that arrived, and hand back one for each wanted tensor."""
    rows = [hardness(g.flatten(1) if g.dim() > 1 else g[:, None]) for g in grads if g is not None]
    if not rows:
        return (None,) * len(tensors)
    selection = call.choose(hardness(torch.stack(rows, dim=1)))
    if len(selection.kept) == 0:  # zeros, not None: other processes may wait for a gradient
        return tuple(
            torch.zeros_like(x) if w else None for x, w in zip(tensors, wanted, strict=True)
        )
    return _gradients(call, tensors, wanted, selection, grads)


def _gradients(
    call: _Call,
    tensors: tuple[Tensor, ...],
    wanted: tuple[bool, ...],
    selection: Selection,
    grads: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...]:
    """Gradients of the wanted inputs and parameters, through the kept samples alone."""
    kept, weight = selection
    leaves = [
        (x.index_select(0, kept) if i < call.inputs else x.detach()).requires_grad_(wanted[i])
        for i, x in enumerate(tensors)
    ]
    outputs, arrived = [], []
    for output, g in zip(call.rerun(leaves), grads, strict=True):
        if g is not None and output.requires_grad:
            outputs.append(output)
            arrived.append(_weighted(g.index_select(0, kept), weight))
    sought = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(outputs, sought, arrived, allow_unused=True))
    result = [next(found) if w else None for w in wanted]
    for i, x in enumerate(tensors[: call.inputs]):
        if (part := result[i]) is not None:
            result[i] = torch.zeros_like(x).index_copy_(0, kept, part)
    return tuple(result)


def _weighted(g: Tensor, weight: Tensor | None) -> Tensor:
    """Each sample's gradient times its weight, in the gradient's own precision."""
    return g if weight is None else (g * weight.view(-1, *[1] * (g.dim() - 1))).to(g.dtype)


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    if not all(isinstance(part, Tensor) for part in parts):
        raise OrefieldError(
            f"mine: outputs must be a tensor or a tuple of tensors, got {type(outputs).__name__}"
        )
    return parts


def _samples(inputs: tuple[Tensor, ...]) -> int:
    """The number of samples; OrefieldError where the inputs disagree about it."""
    lengths = {len(x) if isinstance(x, Tensor) and x.dim() > 0 else None for x in inputs}
    if len(lengths) != 1 or None in lengths:
        shown = ", ".join(
            str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in inputs
        )
        raise OrefieldError(
            f"mine: inputs must be tensors of one row per sample, got {shown or 'none'}"
        )
    return len(inputs[0])
