"""Settings of the proposal networks."""

from dataclasses import dataclass

from orefield.config.require import require as _require


@dataclass(frozen=True)
class ProposalConfig:
    """Sampler `proposal`: two small density networks that learn where weight is."""

    first: int = 64
    """Samples per ray that the first network is asked about."""
    second: int = 40
    """Samples per ray that the second network is asked about."""
    last: int = 24
    """Samples per ray that the field is asked about."""
    log2_table: int = 15
    """Hash grids of the networks: at most 2^this entries per level, five levels."""
    finest: int = 256
    """Hash grids: cells per axis at the second network's last level; the first's has a quarter."""
    anneal: int = 200
    """Steps over which samples come to follow the networks."""
    warmup: int = 200
    """The networks learn in each of this many first steps, then every `learn_every`th."""
    learn_every: int = 4
    """Steps between two in which the networks learn."""
    distortion: float = 0.002
    """Weight of the distortion loss, which draws a ray's weight together; 0 leaves it out."""

    def __post_init__(self) -> None:
        for name in ("first", "second", "last"):
            value = getattr(self, name)
            _require(value >= 2, f"proposal.{name}", "at least 2", value)
        _require(4 <= self.log2_table <= 24, "proposal.log2_table", "in 4..24", self.log2_table)
        _require(64 <= self.finest <= 2**16, "proposal.finest", "in 64..65536", self.finest)
        _require(self.anneal >= 0, "proposal.anneal", "at least 0", self.anneal)
        _require(self.warmup >= 0, "proposal.warmup", "at least 0", self.warmup)
        _require(self.learn_every >= 1, "proposal.learn_every", "at least 1", self.learn_every)
        _require(self.distortion >= 0, "proposal.distortion", "at least 0", self.distortion)
