"""Settings of the proposal networks."""

from dataclasses import dataclass

from orefield.config.require import require as _require


@dataclass(frozen=True)
class ProposalConfig:
    """Sampler `proposal`: two small density networks that learn where weight is."""

    first: int = 128
    """Samples per ray that the first network is asked about."""
    second: int = 64
    """Samples per ray that the second network is asked about."""
    last: int = 32
    """Samples per ray that the field is asked about."""
    distortion: float = 0.002
    """Weight of the distortion loss, which draws a ray's weight together; 0 leaves it out."""

    def __post_init__(self) -> None:
        for name in ("first", "second", "last"):
            _require(
                getattr(self, name) >= 2, f"proposal.{name}", "at least 2", getattr(self, name)
            )
        _require(self.distortion >= 0, "proposal.distortion", "at least 0", self.distortion)
