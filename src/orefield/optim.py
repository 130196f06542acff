"""Adam for a field: the hash table by touched rows, everything else by torch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from orefield.fields import FrequencyField, NgpField
from orefield.ops.adam import BETAS, EPSILON, adam_numbers, adam_rows
from orefield.ops.backend import backend_for


class Optimiser:
    """One learning rate for all parameters; Instant-NGP's betas and epsilon."""

    def __init__(
        self, field: NgpField | FrequencyField, others: Sequence[torch.nn.Parameter] = ()
    ) -> None:
        """`others`: parameters that are not the field's, such as a sampler's."""
        self.steps = 0
        self.count: Tensor | None = None
        """Steps, on the device, once they are replayed there."""
        self.table: Tensor | None = field.table if isinstance(field, NgpField) else None
        dense = [*(p for p in field.parameters() if p is not self.table), *others]
        self.adam = torch.optim.Adam(dense, lr=1.0, betas=BETAS, eps=EPSILON)
        for p in dense:
            self.adam.state[p] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        self.field = field
        if isinstance(field, NgpField):
            if has_half_copy(field.table.device):
                field.copy_in_half()
            self.grad = field.table.grad = torch.zeros_like(field.table)
            self.mean, self.square = torch.zeros_like(field.table), torch.zeros_like(field.table)

    def step(self, lr: float) -> None:
        """Apply and clear the gradients."""
        self.steps += 1
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        self.adam.zero_grad()
        if self.table is not None:
            on = self.table.device
            count = torch.tensor(float(self.steps), device=on)
            self._rows(adam_numbers(torch.tensor(lr, device=on), count))

    @torch.no_grad()
    def step_replayed(self, lr: Tensor, good: Tensor) -> None:
        """The same with all numbers on the device, for a step that is captured and replayed.

        `lr` is the learning rate; where `good` is false nothing moves, no moment and no count. The
        gradients' tensors stay, with zeros. `catch_up` tells the host afterwards.
        """
        share = good.to(lr.dtype)
        if self.count is None:
            self.count = torch.full_like(lr, self.steps)
        self.count += share
        numbers = adam_numbers(lr, self.count.clamp(min=1))
        scale, bias = numbers
        for p, moments in self.adam.state.items():
            if p.grad is None:
                continue
            mean, square = moments["exp_avg"], moments["exp_avg_sq"]
            mean.lerp_(p.grad, (1 - BETAS[0]) * share)
            square.lerp_(p.grad * p.grad, (1 - BETAS[1]) * share)
            p.sub_(share * scale * mean / ((square * bias).sqrt() + EPSILON))
            p.grad.zero_()
        if self.table is not None:
            self._rows(numbers)

    def catch_up(self) -> None:
        """Count the steps that were replayed; waits for the device."""
        if self.count is not None:
            self.steps = int(self.count)
            for moments in self.adam.state.values():
                moments["step"].fill_(self.steps)

    def _rows(self, numbers: Tensor) -> None:
        assert self.table is not None
        half = self.field.table_half if isinstance(self.field, NgpField) else None
        adam_rows(self.table, self.grad, self.mean, self.square, numbers, half)

    def forget(self) -> None:
        """Clear the gradients without applying them."""
        self.adam.zero_grad()
        if self.table is not None:
            self.grad.zero_()

    def state(self) -> dict[str, Tensor]:
        """Every moment, by name."""
        tensors: dict[str, Tensor] = {}
        for i, moments in enumerate(self.adam.state.values()):
            tensors |= {f"dense.{i}.{name}": value for name, value in moments.items()}
        if self.table is not None:
            tensors |= {"table.mean": self.mean, "table.square": self.square}
        return tensors

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Take over saved moments; raises KeyError or RuntimeError where they do not fit."""
        self.steps, self.count = steps, None
        for name, own in self.state().items():
            own.copy_(tensors[name])
        if isinstance(self.field, NgpField) and self.field.table_half is not None:
            self.field.copy_in_half()


def has_half_copy(device: torch.device) -> bool:
    """Whether a device reads an fp16 copy of the table: where Triton's kernels run."""
    return device.type == "cuda" and backend_for("cuda")[0] == "gpu"
