"""`ns-train orefield-nerfacto`: nerfacto of nerfstudio (1.1.5), its network called by `mine`.

The samplers, proposal networks, losses, options and viewer are nerfstudio's own. What differs is
one call: hash grid, density and color MLP are one module on flat tensors that returns raw outputs
(log density and color logits), and `mine` back-propagates through the hard samples alone.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.data.datamanagers.parallel_datamanager import ParallelDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.mlp import MLP
from nerfstudio.fields.base_field import get_normalized_directions
from nerfstudio.fields.nerfacto_field import NerfactoField
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification
from torch import Tensor, nn

from orefield.config import MiningConfig
from orefield.errors import ConfigError
from orefield.mining import MiningStats, mine


class _Network(nn.Module):
    """Hash grid and both MLPs of a field, sample by sample; its parameters are the field's."""

    def __init__(self, base: nn.Module, head: nn.Module, geometry: int) -> None:
        super().__init__()
        self.base, self.head, self.geometry = base, head, geometry

    def forward(self, positions: Tensor, *seen: Tensor) -> tuple[Tensor, Tensor]:
        """Log density [n, 1] and color logits [n, 3] at positions [n, 3] in the unit cube.

        `seen`: encoded directions, and the photographs' embeddings if there are any.
        """
        log_density, geometry = self.base(positions).split([1, self.geometry], -1)
        encoded, *embedded = seen
        return log_density, self.head(torch.cat([encoded, geometry, *embedded], -1))


class MinedNerfactoField(NerfactoField):
    """Nerfacto's field; in training its gradients come from the hard samples."""

    mlp_head: MLP

    def __init__(self, *args: Any, mining: MiningConfig, **options: Any) -> None:
        """`mining`: which samples; everything else as in nerfstudio."""
        super().__init__(*args, **options)
        self.mining, self.stats = mining, MiningStats()
        self.mlp_head = MLP(
            in_dim=self.mlp_head.in_dim,
            num_layers=self.mlp_head.num_layers,
            layer_width=self.mlp_head.layer_width,
            out_dim=3,
            activation=nn.ReLU(),
            out_activation=None,  # applied outside: mining looks at raw outputs
            implementation=options.get("implementation", "tcnn"),
        )
        # In a list: the parameters are the field's, and belong into its state once.
        self._network = [_Network(self.mlp_base, self.mlp_head, self.geo_feat_dim)]

    def get_outputs(
        self, ray_samples: RaySamples, density_embedding: Tensor | None = None
    ) -> dict[FieldHeadNames, Tensor]:
        """As in nerfacto, where nothing is learned."""
        outputs = super().get_outputs(ray_samples, density_embedding)
        outputs[FieldHeadNames.RGB] = outputs[FieldHeadNames.RGB].sigmoid()
        return outputs

    def forward(
        self, ray_samples: RaySamples, compute_normals: bool = False
    ) -> dict[FieldHeadNames, Tensor]:
        """Density and color of the samples."""
        if not self.training or not torch.is_grad_enabled():
            return super().forward(ray_samples, compute_normals)
        positions, inside = self._in_cube(ray_samples)
        log_density, logits = mine(
            self._network[0],
            positions.flatten(0, -2),
            *self._seen(ray_samples),
            rule=self.mining,
            stats=self.stats,
        )
        shape = ray_samples.frustums.shape
        density = self.average_init_density * trunc_exp(log_density.view(*shape, 1).to(positions))
        return {
            FieldHeadNames.DENSITY: density * inside,
            FieldHeadNames.RGB: logits.view(*shape, 3).to(positions).sigmoid(),
        }

    def _in_cube(self, ray_samples: RaySamples) -> tuple[Tensor, Tensor]:
        """Positions in the unit cube, zero where they are not inside, and whether they are."""
        positions = ray_samples.frustums.get_positions()
        if self.spatial_distortion is not None:
            positions = (self.spatial_distortion(positions) + 2.0) / 4.0
        else:
            positions = SceneBox.get_normalized_positions(positions, self.aabb)
        inside = ((positions > 0.0) & (positions < 1.0)).all(-1, keepdim=True)
        return positions * inside, inside

    def _seen(self, ray_samples: RaySamples) -> list[Tensor]:
        """Encoded directions, and the embedding of each sample's photograph if there are any."""
        directions = get_normalized_directions(ray_samples.frustums.directions)
        encoded = self.direction_encoding(directions.reshape(-1, 3))
        if self.embedding_appearance is None:
            return [encoded]
        assert ray_samples.camera_indices is not None
        embedded = self.embedding_appearance(ray_samples.camera_indices.reshape(-1))
        return [encoded, embedded]


@dataclass
class OrefieldNerfactoModelConfig(NerfactoModelConfig):
    """Nerfacto with mining."""

    _target: type = field(default_factory=lambda: OrefieldNerfactoModel)
    mining: MiningConfig = field(default_factory=lambda: MiningConfig(rule="importance"))
    """Which samples are back-propagated through; `plain` is nerfacto itself."""


class OrefieldNerfactoModel(NerfactoModel):
    """Nerfacto with mining."""

    config: OrefieldNerfactoModelConfig
    field: NerfactoField

    def populate_modules(self) -> None:
        """As nerfacto, with the field in its place."""
        config = self.config
        if config.predict_normals:
            raise ConfigError(
                "orefield-nerfacto: predict_normals needs second derivatives of the field, which "
                "mining does not have; use nerfacto, or leave it off"
            )
        super().populate_modules()
        self.field = MinedNerfactoField(
            self.scene_box.aabb,
            mining=config.mining,
            hidden_dim=config.hidden_dim,
            num_levels=config.num_levels,
            max_res=config.max_res,
            base_res=config.base_res,
            features_per_level=config.features_per_level,
            log2_hashmap_size=config.log2_hashmap_size,
            hidden_dim_color=config.hidden_dim_color,
            hidden_dim_transient=config.hidden_dim_transient,
            spatial_distortion=self.field.spatial_distortion,
            num_images=self.num_train_data,
            use_average_appearance_embedding=config.use_average_appearance_embedding,
            appearance_embedding_dim=(
                config.appearance_embed_dim if config.use_appearance_embedding else 0
            ),
            average_init_density=config.average_init_density,
            implementation=config.implementation,
        )

    def get_metrics_dict(self, outputs: Any, batch: Any) -> dict[str, Any]:
        """Those of nerfacto, and of the last backward pass the share of samples kept."""
        metrics: dict[str, Any] = super().get_metrics_dict(outputs, batch)
        stats = self.field.stats
        if self.training and stats.passes:
            metrics["kept_share"] = torch.tensor(stats.share)
        return metrics


def _rates(start: float, end: float, steps: int) -> dict[str, Any]:
    return {
        "optimizer": AdamOptimizerConfig(lr=start, eps=1e-15),
        "scheduler": ExponentialDecaySchedulerConfig(lr_final=end, max_steps=steps),
    }


orefield_nerfacto = MethodSpecification(
    TrainerConfig(
        method_name="orefield-nerfacto",
        steps_per_eval_batch=500,
        steps_per_save=2000,
        max_num_iterations=30000,
        mixed_precision=True,
        pipeline=VanillaPipelineConfig(
            datamanager=ParallelDataManagerConfig(
                dataparser=NerfstudioDataParserConfig(),
                train_num_rays_per_batch=4096,
                eval_num_rays_per_batch=4096,
            ),
            model=OrefieldNerfactoModelConfig(
                eval_num_rays_per_chunk=1 << 15,
                average_init_density=0.01,
                camera_optimizer=CameraOptimizerConfig(mode="SO3xR3"),
            ),
        ),
        optimizers={
            "proposal_networks": _rates(1e-2, 1e-4, 200_000),
            "fields": _rates(1e-2, 1e-4, 200_000),
            "camera_opt": _rates(1e-3, 1e-4, 5000),
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 15),
        vis="viewer",
    ),
    "Nerfacto, back-propagated through the hard samples alone (online hard sample mining).",
)
"""The method, as the entry point `nerfstudio.method_configs` finds it; nerfacto's own settings."""
