"""Fields: what is there, at a position, seen from a direction."""

import torch
from llvmlite.binding import get_host_cpu_features

from orefield.config import FieldConfig
from orefield.devices import multiplies_bf16
from orefield.fields.frequency import FrequencyField as FrequencyField
from orefield.fields.ngp import NgpField as NgpField
from orefield.ops.hash_grid import grid_layout


def native_bf16(device: torch.device | None = None) -> bool:
    """Whether a device, by default the processor, multiplies bfloat16 matrices in hardware."""
    if device is not None and device.type != "cpu":
        return multiplies_bf16(device)
    features = get_host_cpu_features()
    return bool(features.get("avx512bf16") or features.get("amx-bf16") or features.get("bf16"))


def make_field(
    config: FieldConfig, seed: int, device: torch.device | None = None
) -> NgpField | FrequencyField:
    """A fresh field; the same seed gives the same parameters, on whatever device."""
    bf16 = native_bf16(device) if config.precision == "auto" else config.precision == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    generator = torch.Generator().manual_seed(seed)
    if config.kind == "nerf":
        return FrequencyField(config.nerf_width, "bf16" if bf16 else "fp32", generator).to(device)
    layout = grid_layout(config.levels, config.log2_table, config.coarsest, config.finest)
    return NgpField(layout, config.width, dtype, generator, config.fog).to(device)
