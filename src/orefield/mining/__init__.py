"""Online hard sample mining: back-propagate only through samples that still teach something.

Which ones those are is read off the gradient at their outputs. Pure functions (`hardness`,
`select`) for a training step of one's own, and `mine`, which wraps any module in any training loop.
Needs torch alone.
"""

from orefield.mining.budget import initial_tau as initial_tau
from orefield.mining.budget import paper_budget as paper_budget
from orefield.mining.dropin import mine as mine
from orefield.mining.error_tiles import ErrorTiles as ErrorTiles
from orefield.mining.hardness import effective_sample_size as effective_sample_size
from orefield.mining.hardness import hardness as hardness
from orefield.mining.hardness import imbalance as imbalance
from orefield.mining.rules import Choice as Choice
from orefield.mining.rules import Selection as Selection
from orefield.mining.rules import keep_mask as keep_mask
from orefield.mining.rules import kept_indices as kept_indices
from orefield.mining.rules import select as select
from orefield.mining.stats import MiningStats as MiningStats
