"""A run on a device: found by its name, complete, and not bound to it."""

import dataclasses
import sys
import warnings

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from orefield.config import ConfigError, FixedShapesConfig, MiningConfig, OptimConfig, RunConfig
from orefield.errors import OrefieldError
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.fields import native_bf16
from orefield.ops.backend import using
from orefield.rendering.render import render_view
from orefield.runs.folder import create_run, load_run, load_trainer, save_run
from orefield.runs.header import header_of
from orefield.scenes import Scene
from orefield.system import devices
from orefield.system.devices import resolve_device, use_device
from orefield.training.trainer import Trainer

COMPILED = torch.cuda.is_available()


def test_a_device_is_found_by_its_name(monkeypatch) -> None:
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu", "cuda:0", "cuda:1"])
    assert resolve_device("auto") == torch.device("cuda:0")
    assert resolve_device("cuda") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu", "mps"])
    assert resolve_device("auto") == torch.device("cpu")  # mps is a best effort, by its name alone
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "tpu", "cuda:x"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str, monkeypatch) -> None:
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu"])
    with pytest.raises(OrefieldError, match=f"'{name}' is not there; this machine has cpu$"):
        resolve_device(name)


def test_the_cpu_is_always_there() -> None:
    assert devices.devices_there()[0] == "cpu"
    assert resolve_device("cpu").type == "cpu"
    assert native_bf16(torch.device("cpu")) == native_bf16()
    assert not native_bf16(torch.device("mps"))


def test_the_configuration_knows_what_can_be_a_device() -> None:
    assert RunConfig(device="cuda:3").device == "cuda:3"
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda"):
        RunConfig(device="gpu")


def test_torch_sums_in_a_fixed_order_where_that_matters(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    try:
        use_device(torch.device("cpu"), deterministic=True)
        assert not torch.are_deterministic_algorithms_enabled()
        use_device(torch.device("cuda:0"), deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


class NamesItsDevice(TorchFunctionMode):
    """Refuses to make a tensor without being told where: it would lie on the CPU."""

    def __init__(self, spared: tuple[str, ...] = ()) -> None:
        """`spared`: modules that may, because they are the CPU's."""
        super().__init__()
        self.spared = spared

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        caller = sys._getframe(1).f_globals["__name__"]
        if func in _device_constructors() and not caller.startswith(self.spared):
            assert kwargs.get("device") is not None, f"{func.__name__} names no device"
        return func(*args, **kwargs)


@pytest.mark.parametrize("rule", ["plain", "pruned", "threshold", "poisson"])
def test_every_tensor_of_a_run_is_made_on_its_device(
    rule: str, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """So a run on a GPU, which is not here to try, mixes no devices."""
    small = OptimConfig(target_samples=256, background="white")
    config = dataclasses.replace(tiny_config, mining=MiningConfig(rule=rule), optim=small)
    trainer, probe = Trainer(tiny_scene, config), PixelProbe(tiny_scene, 1.0, count=64)
    trainer.rays = 64
    with using("definition"), NamesItsDevice():
        for _ in range(2):
            trainer.advance()
        probe.psnr(trainer.field, trainer.sampler)


def test_every_tensor_of_a_step_of_fixed_shapes_is_made_on_its_device(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    mining, fixed = MiningConfig(rule="importance"), FixedShapesConfig(use="always")
    config = dataclasses.replace(tiny_config, mining=mining, fixed_shapes=fixed)
    trainer = Trainer(tiny_scene, config)
    trainer.advance()
    trainer.sampler.update = lambda *_: None  # see the test above
    assert trainer.replay is not None
    with NamesItsDevice(spared=("orefield.ops.cpu", "orefield.ops.compact")):
        trainer.advance()


def run_folder(tmp_path, scene: Scene, trainer: Trainer):
    folder = tmp_path / "run"
    create_run(folder, header_of(scene, trainer.config))
    save_run(folder, trainer)
    return folder


def test_a_run_trained_on_one_device_goes_on_and_renders_on_another(
    tmp_path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    """Everything goes along but the state of the generator, which only its own device can read."""
    there = Trainer(tiny_scene, tiny_config)
    for _ in range(5):
        there.advance()
    elsewhere = {**there.state_dict(), "device": "cuda"}
    elsewhere["generator"] = torch.zeros(16, dtype=torch.uint8)  # CUDA's is so small
    monkeypatch.setattr(there, "state_dict", lambda: elsewhere)
    folder = run_folder(tmp_path, tiny_scene, there)
    states = []
    for _ in range(2):
        here = Trainer(tiny_scene, tiny_config)
        with pytest.warns(UserWarning, match="stopped on cuda, goes on on cpu: with other random"):
            load_trainer(folder, here)
        assert here.step == 5
        assert torch.equal(here.field.density1, there.field.density1)
        here.advance()
        states.append(here.field.color1.detach().clone())
    assert torch.equal(*states)
    run = load_run(folder, "cpu")
    view = tiny_scene.test[0]
    render = render_view(run.field, run.sampler, view.camera, view.pose)
    assert render.color.device.type == "cpu"
    with pytest.raises(OrefieldError, match="is not there"):
        load_run(folder, "cuda:99")


def test_on_the_same_type_of_device_nothing_is_said(
    tmp_path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    there = Trainer(tiny_scene, tiny_config)
    there.advance()
    folder, here = run_folder(tmp_path, tiny_scene, there), Trainer(tiny_scene, tiny_config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_trainer(folder, here)
    assert here.advance().loss == there.advance().loss


@pytest.mark.parametrize("fixed", ["never", "always"])
def test_out_of_memory_halves_the_samples_says_so_once_and_goes_on(
    fixed: str, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    config = dataclasses.replace(
        tiny_config,
        mining=MiningConfig(rule="threshold", early_termination="off"),
        optim=OptimConfig(target_samples=8192),
        fixed_shapes=FixedShapesConfig(use=fixed, adapt_every=1),
    )
    trainer = Trainer(tiny_scene, config)
    trainer.advance()
    accumulate_grad, failures = trainer.field.accumulate_grad, iter([True, True])

    def small_memory(*inputs, **options):
        done = accumulate_grad(*inputs, **options)
        if next(failures, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return done

    monkeypatch.setattr(trainer.field, "accumulate_grad", small_memory)
    with pytest.warns(UserWarning, match="out of memory: steps get fewer samples") as told:
        stats = trainer.advance()
    assert len(told) == 1
    assert trainer.samples == config.optim.target_samples // 4
    assert stats.step == 2
    later = [trainer.advance() for _ in range(12)]
    assert later[-1].evaluated < 1.5 * trainer.samples
    assert later[-1].step == 14
    assert trainer.state_dict()["samples"] == trainer.samples


def test_a_memory_too_small_for_any_step_is_an_error(
    tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    trainer = Trainer(tiny_scene, tiny_config)

    def no_memory(*inputs, **options) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.field, "accumulate_grad", no_memory)
    with (
        pytest.warns(UserWarning, match="out of memory"),
        pytest.raises(OrefieldError, match="no memory even for 256 samples a step"),
    ):
        trainer.advance()


def test_the_protocol_names_the_device(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    cpu = dataclasses.replace(tiny_config, device="cpu")
    assert protocol(tiny_scene, cpu)["device"].startswith("cpu: ")


@pytest.mark.skipif(not COMPILED, reason="needs a GPU")
def test_a_gpu_trains_as_well_as_the_cpu(tiny_config: RunConfig) -> None:
    from orefield.scenes import open_scene

    scene = open_scene("shapes", tiny_config.scene)
    found = []
    for device in ("cpu", "cuda"):
        trainer = Trainer(scene, RunConfig(steps=300, device=device))
        for _ in range(300):
            trainer.advance()
        found.append(PixelProbe(scene, 1.0).psnr(trainer.field, trainer.sampler))
    assert found[1] == pytest.approx(found[0], abs=0.1)


@pytest.mark.skipif(not COMPILED, reason="needs a GPU")
def test_a_deterministic_run_on_a_gpu_repeats(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    config = dataclasses.replace(tiny_config, device="cuda", deterministic=True)
    tables = []
    try:
        for _ in range(2):
            trainer = Trainer(tiny_scene, config)
            for _ in range(30):
                trainer.advance()
            tables.append(trainer.field.table.detach().clone())
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*tables)
