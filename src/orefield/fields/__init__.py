"""Fields: color and density at positions, seen along directions."""

import torch

from orefield.config import FieldConfig, chosen
from orefield.fields.mlp import MlpField as MlpField
from orefield.fields.mlp import nerf_layers
from orefield.fields.ngp import NgpField as NgpField
from orefield.fields.ngp import ngp_layers as ngp_layers
from orefield.fields.precision import native_bf16 as native_bf16
from orefield.fields.precision import uses_bf16
from orefield.ops.hash_grid import grid_layout
from orefield.types import Field


def make_field(config: FieldConfig, seed: int, device: torch.device | None = None) -> Field:
    """A fresh field; the same seed gives the same parameters, on whatever device.

    Raises ConfigError where `field.precision` is bf16 and the processor's products are wrong.
    """
    generator = torch.Generator().manual_seed(seed)
    if config.kind == "nerf":
        bf16 = uses_bf16(config.precision, nerf_layers(config.nerf_width), device)
        return MlpField(config.nerf_width, "bf16" if bf16 else "fp32", generator).to(device)
    size = chosen(config.log2_hashmap_size, "field.log2_hashmap_size")
    finest = chosen(config.max_resolution, "field.max_resolution")
    width = config.features_per_level
    layout = grid_layout(config.levels, size, config.base_resolution, finest, width)
    bf16 = uses_bf16(config.precision, ngp_layers(layout.features, config.width), device)
    dtype = torch.bfloat16 if bf16 else torch.float32
    return NgpField(layout, config.width, dtype, generator, config.init_density).to(device)
