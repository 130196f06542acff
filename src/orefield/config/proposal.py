"""Settings of the proposal networks."""

from dataclasses import dataclass

from orefield.config.require import require as _require


@dataclass(frozen=True)
class ProposalConfig:
    """Proposal sampler: two small density networks that learn where the rendering weights are."""

    num_proposal_samples: tuple[int, int] = (48, 32)
    """Samples per ray for the first and the second network."""
    num_samples: int = 24
    """Samples per ray for the field."""
    log2_hashmap_size: int = 15
    """Hash grids of the networks: at most 2^this entries per level, two levels of
    four features for the first network, three for the second."""
    max_resolution: int = 256
    """Hash grids: cells per axis at the second network's last level; the first has a quarter."""
    anneal: int = 200
    """Steps over which samples change from evenly spaced to what the networks propose."""
    warmup: int = 200
    """Initial steps, in each of which the networks learn; then every `update_every` steps."""
    update_every: int = 4
    """Steps from one update of the networks to the next, after the warm-up."""
    learn_share: float = 0.25
    """Share of a step's rays that the networks learn from; the field learns from all."""
    distortion: float = 0.002
    """Weight of the distortion loss, which concentrates a ray's weights; 0 leaves it out."""

    def __post_init__(self) -> None:
        for number in self.num_proposal_samples:
            _require(2 <= number <= 1024, "proposal.num_proposal_samples", "in 2..1024", number)
        number = self.num_samples
        _require(2 <= number <= 1024, "proposal.num_samples", "in 2..1024", number)
        size, finest = self.log2_hashmap_size, self.max_resolution
        _require(4 <= size <= 24, "proposal.log2_hashmap_size", "in 4..24", size)
        _require(64 <= finest <= 2**16, "proposal.max_resolution", "in 64..65536", finest)
        for name, least in (("anneal", 0), ("warmup", 0), ("update_every", 1)):
            steps = getattr(self, name)
            _require(least <= steps <= 10**9, f"proposal.{name}", f"in {least}..10^9", steps)
        share = self.learn_share
        _require(0 < share <= 1, "proposal.learn_share", "in (0, 1]", share)
        weight = self.distortion
        _require(0 <= weight <= 1e6, "proposal.distortion", "in [0, 1e6]", weight)
