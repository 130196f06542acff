"""What mining did, readable without slowing down what it does."""

from dataclasses import dataclass, field

from jaxtyping import Float, Float64
from torch import Tensor

from orefield.mining.budget import initial_tau
from orefield.mining.hardness import effective_sample_size


@dataclass
class MiningStats:
    """The latest backward pass of `mine`, and the running tau that it carries from call to call.

    Counts are plain numbers. What needs arithmetic on the device is computed when it is read, from
    the hardness of that pass (one float32 per sample). Keep one of these per module.
    """

    tau: Float64[Tensor, ""] = field(default_factory=initial_tau)
    """Running mean, for `hsm` and the rules that follow the paper's b; save it to go on exactly."""
    passes: int = 0
    """Backward passes so far."""
    samples: int = 0
    kept: int = 0
    hardness: Float[Tensor, " samples"] | None = None
    """g of every sample, `None` before the first pass."""

    @property
    def share(self) -> float:
        """Share of the samples that was kept; 0 where there were none."""
        return self.kept / self.samples if self.samples else 0.0

    @property
    def effective(self) -> float:
        """Effective sample size of the batch, `(sum g)^2 / sum g^2`; waits for the device."""
        return 0.0 if self.hardness is None else float(effective_sample_size(self.hardness))

    def quantiles(self, *shares: float) -> list[float]:
        """Hardness below which each given share of the samples lies; waits for the device."""
        if self.hardness is None or len(self.hardness) == 0:
            return [0.0] * len(shares)
        ordered = self.hardness.sort().values  # torch.quantile ends at 2^24 samples
        last = len(ordered) - 1
        return [float(ordered[round(share * last)]) for share in shares]

    def record(self, g: Float[Tensor, " samples"], kept: int) -> None:
        """Record one backward pass; nothing is read back from the device."""
        self.passes += 1
        self.samples, self.kept, self.hardness = len(g), kept, g.detach()
