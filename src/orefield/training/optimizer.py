"""Adam: the hash table by touched rows, everything else by torch."""

from typing import Any

import torch
from torch import Tensor

from orefield.fields import NgpField
from orefield.ops.backend import backend_for
from orefield.ops.sparse_adam import BETAS, EPSILON, adam_scalars, sparse_adam
from orefield.training.camera_optimizer import CameraOptimizer
from orefield.types import Field, Sampler


class Optimizer:
    """Adam with Instant-NGP's betas and epsilon; the cameras' parameters have torch's own.

    Where `fixed`, all numbers of a step are on the device, so that it can be captured and replayed:
    `set_lr` outside of the graph, `apply` in it.
    """

    def __init__(
        self, field: Field, sampler: Sampler, cameras: CameraOptimizer, lr: float, fixed: bool
    ) -> None:
        """`lr`: the peak learning rate of the field, which the cameras' own rates follow."""
        self.field, self.peak, self.fixed = field, lr, fixed
        self.table: Tensor | None = field.table if isinstance(field, NgpField) else None
        dense = [*(p for p in field.parameters() if p is not self.table), *sampler.parameters()]
        device = dense[0].device
        main = {"params": dense, "betas": BETAS, "eps": EPSILON, "peak": lr}
        groups = [main, *({"params": ps, "peak": rate} for ps, rate in cameras.groups())]
        start: Tensor | float = torch.zeros((), device=device) if fixed else lr
        on_gpu = fixed and device.type == "cuda"
        # In one call for all parameters, which on a CPU takes a third of the time of one after one.
        fused = fixed or device.type == "cpu" or None
        self.adam = torch.optim.Adam(groups, lr=start, fused=fused, capturable=on_gpu)
        for group in self.adam.param_groups:
            group["lr"] = start.clone() if isinstance(start, Tensor) else start
            for p in group["params"]:
                self.adam.state[p] = {
                    "step": torch.zeros((), device=device if fixed else None),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        self.lr, self.count = torch.zeros(2, device=device)
        """The present learning rate, and steps taken so far, for the table."""
        if isinstance(field, NgpField):
            if has_half_copy(device):
                field.copy_in_half()
            self.grad = field.table.grad = torch.zeros_like(field.table)
            self.mean, self.square = torch.zeros_like(field.table), torch.zeros_like(field.table)

    def set_lr(self, lr: float) -> None:
        """The learning rate of the field from now on; the cameras' rates keep their ratio to it."""
        self.lr.fill_(lr)
        for group in self.adam.param_groups:
            rate = lr if group["peak"] == self.peak else group["peak"] * (lr / self.peak)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def gradients_are_finite(self) -> Tensor:
        """Whether those of the networks and cameras are, on the device.

        The hash table's follow from the networks', and are far more.
        """
        grads = [
            p.grad.sum() for g in self.adam.param_groups for p in g["params"] if p.grad is not None
        ]
        return torch.stack(grads).sum().isfinite()

    def apply(self, finite: Tensor | None = None) -> None:
        """Apply and clear the gradients.

        `finite` is false where the loss or a gradient was not a number: then no parameter and no
        moment moves, and the step is not counted.
        """
        if finite is not None:
            self.adam.found_inf = 1 - finite.float()  # type: ignore[attr-defined]
        self.adam.step()
        self.adam.zero_grad(set_to_none=not self.fixed)
        if self.table is not None:
            if finite is not None:
                self.grad.masked_fill_(~finite, 0.0)  # rows with a NaN would count as touched
            self.count += 1 if finite is None else finite
            scalars = adam_scalars(self.lr, self.count.clamp(min=1))
            half = self.field.table_half if isinstance(self.field, NgpField) else None
            sparse_adam(self.table, self.grad, self.mean, self.square, scalars, half)

    def clear(self) -> None:
        """Clear the gradients without applying them."""
        self.adam.zero_grad(set_to_none=not self.fixed)
        if self.table is not None:
            self.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Every moment and count, not copied; learning rates are settings, not state."""
        dense = {str(i): moments for i, moments in self.adam.state_dict()["state"].items()}
        state = {"dense": dense, "count": self.count}
        return state if self.table is None else {**state, "mean": self.mean, "square": self.square}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; raises KeyError or RuntimeError where it does not fit."""
        for index, moments in self.adam.state_dict()["state"].items():
            for name, value in moments.items():
                value.copy_(state["dense"][str(index)][name])
        self.count.copy_(state["count"])
        if self.table is not None:
            self.mean.copy_(state["mean"])
            self.square.copy_(state["square"])
        if isinstance(self.field, NgpField) and self.field.table_half is not None:
            self.field.copy_in_half()


def has_half_copy(device: torch.device) -> bool:
    """Whether a device reads an fp16 copy of the table: where Triton's kernels run."""
    return device.type == "cuda" and backend_for("cuda")[0] == "gpu"
