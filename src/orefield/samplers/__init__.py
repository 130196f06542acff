"""Samplers: where along each ray to look."""

from orefield.samplers.occupancy import OccupancySampler as OccupancySampler
from orefield.samplers.visibility import seen_cells as seen_cells
