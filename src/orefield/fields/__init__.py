"""Fields: color and density at positions, seen along directions."""

import torch
from llvmlite.binding import get_host_cpu_features

from orefield.config import FieldConfig, chosen
from orefield.fields.mlp import MlpField as MlpField
from orefield.fields.ngp import NgpField as NgpField
from orefield.ops.hash_grid import grid_layout
from orefield.system.devices import multiplies_bf16
from orefield.types import Field


def native_bf16(device: torch.device | None = None) -> bool:
    """Whether a device, by default the processor, multiplies bfloat16 matrices in hardware."""
    if device is not None and device.type != "cpu":
        return multiplies_bf16(device)
    features = get_host_cpu_features()
    return bool(features.get("avx512bf16") or features.get("amx-bf16") or features.get("bf16"))


def make_field(config: FieldConfig, seed: int, device: torch.device | None = None) -> Field:
    """A fresh field; the same seed gives the same parameters, on whatever device."""
    bf16 = native_bf16(device) if config.precision == "auto" else config.precision == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    generator = torch.Generator().manual_seed(seed)
    if config.kind == "nerf":
        return MlpField(config.nerf_width, "bf16" if bf16 else "fp32", generator).to(device)
    size = chosen(config.log2_hashmap_size, "field.log2_hashmap_size")
    finest = chosen(config.max_resolution, "field.max_resolution")
    layout = grid_layout(config.levels, size, config.base_resolution, finest)
    density = chosen(config.init_density, "field.init_density")
    return NgpField(layout, config.width, dtype, generator, density).to(device)
