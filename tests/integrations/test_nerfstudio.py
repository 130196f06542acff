"""Laws of `ns-train orefield-nerfacto`, in an environment of its own (`make test-nerfstudio`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("nerfstudio", reason="`make test-nerfstudio` installs it")

from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.fields.nerfacto_field import NerfactoField

from orefield.config import MiningConfig
from orefield.errors import ConfigError
from orefield.integrations.nerfstudio import MinedNerfactoField, OrefieldNerfactoModelConfig

AABB = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
ALL = MiningConfig(rule="threshold", threshold=0.0)


def field_of(mining: MiningConfig, **options) -> MinedNerfactoField:
    torch.manual_seed(0)
    return MinedNerfactoField(
        AABB,
        num_images=3,
        num_levels=4,
        max_res=64,
        log2_hashmap_size=9,
        spatial_distortion=SceneContraction(order=float("inf")),
        average_init_density=0.5,
        implementation="torch",
        mining=mining,
        **options,
    )


def samples(rays: int = 12, each: int = 9) -> RaySamples:
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(rays, 3, generator=generator)
    edges = torch.linspace(0.05, 6, each + 1).expand(rays, -1)[..., None]
    bundle = RayBundle(
        origins=torch.randn(rays, 3, generator=generator),
        directions=directions / directions.norm(dim=-1, keepdim=True),
        pixel_area=torch.ones(rays, 1),
        camera_indices=torch.randint(3, (rays, 1), generator=generator),
    )
    return bundle.get_ray_samples(bin_starts=edges[:, :-1], bin_ends=edges[:, 1:])


def gradients(field: MinedNerfactoField, outputs: dict) -> list:
    field.zero_grad()
    loss = (outputs[FieldHeadNames.DENSITY].log1p() ** 2).mean()
    (loss + (outputs[FieldHeadNames.RGB] ** 2).mean()).backward()
    return [None if p.grad is None else p.grad.clone() for p in field.parameters()]


@pytest.mark.parametrize("embedding", [32, 0])
def test_keeping_everything_is_nerfacto(embedding: int) -> None:
    field, rays = field_of(ALL, appearance_embedding_dim=embedding), samples()
    mined, plain = field(rays), NerfactoField.forward(field, rays)
    for name in (FieldHeadNames.DENSITY, FieldHeadNames.RGB):
        torch.testing.assert_close(mined[name], plain[name])
    found = gradients(field, field(rays))
    wanted = gradients(field, NerfactoField.forward(field, rays))
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_fewer_are_kept_by_the_default_and_the_state_is_nerfactos() -> None:
    field = field_of(OrefieldNerfactoModelConfig().mining)
    gradients(field, field(samples()))
    assert 0 < field.stats.share < 1
    plain = NerfactoField(AABB, num_images=3, num_levels=4, implementation="torch")
    assert field.state_dict().keys() == plain.state_dict().keys()
    field.eval()
    seen = field(samples())[FieldHeadNames.RGB]
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1


def test_predicted_normals_are_refused_by_name() -> None:
    config = OrefieldNerfactoModelConfig(predict_normals=True)
    with pytest.raises(ConfigError, match="predict_normals needs second derivatives"):
        config.setup(scene_box=SceneBox(AABB), num_train_data=3)


@pytest.fixture
def random_alexnet(tmp_path: Path) -> dict[str, str]:
    """An environment in which LPIPS's network, a download, is there; its scores do not matter."""
    from torchvision.models import alexnet

    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(alexnet().state_dict(), folder / "alexnet-owt-7be5be79.pth")
    return {**os.environ, "TORCH_HOME": str(tmp_path / "torch"), "CUDA_VISIBLE_DEVICES": ""}


def test_it_is_trained_evaluated_and_rendered_by_nerfstudios_commands(
    tiny_folder: Path, tmp_path: Path, random_alexnet: dict[str, str]
) -> None:
    def ns(command: str, *words: str) -> str:
        program = Path(sys.executable).with_name(command)
        done = subprocess.run(
            [str(program), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=random_alexnet,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    small = ("--pipeline.model.num-levels=4", "--pipeline.model.log2-hashmap-size=10")
    ns(
        "ns-train",
        "orefield-nerfacto",
        *("--machine.device-type=cpu", "--vis=tensorboard", "--max-num-iterations=20"),
        *("--pipeline.model.implementation=torch", "--pipeline.model.mining.rule=hsm"),
        *("--pipeline.datamanager.train-num-rays-per-batch=64", "--timestamp=now", *small),
        *("blender-data", "--data", str(tiny_folder)),
    )
    (config,) = tmp_path.glob("outputs/*/orefield-nerfacto/now/config.yml")
    ns("ns-eval", "--load-config", str(config), "--output-path", str(tmp_path / "scores.json"))
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["method_name"] == "orefield-nerfacto"
    assert scores["results"]["psnr"] > 0
    frames = tmp_path / "frames"
    ns("ns-render", "dataset", "--load-config", str(config), "--output-path", str(frames))
    assert list(frames.rglob("*.jpg")) or list(frames.rglob("*.png"))
