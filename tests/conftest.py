"""Shared by all tests: checked shapes, poisoned memory, seeds, and where the real scenes lie."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# Before torch loads its OpenMP runtime, as the command line does (see orefield/system/threads.py).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# One process per core has no use for more threads than that, in any library.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numba
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Before triton is imported: without a GPU its interpreter runs the kernels, on CPU tensors.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# The hook breaks compiled modules, so ops.cpu and ops.gpu stay unchecked.
if find_spec("beartype"):
    _files = (file.relative_to(SRC).with_suffix("") for file in sorted(SRC.rglob("*.py")))
    _checked = [".".join(file.parts) for file in _files if not {"cpu", "gpu"} & set(file.parts)]
    install_import_hook(_checked, "beartype.beartype")

# After the hook, like everything of ours.
from compile_once import compile_share  # noqa: E402
from orefield.config import FieldConfig, OptimConfig, RunConfig, SamplerConfig  # noqa: E402
from orefield.system.threads import available  # noqa: E402

# A slow machine is no failed law: no deadline, no check of how long drawing an example takes.
hypothesis.settings.register_profile(
    "laws",
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
# Triton's interpreter takes 10 to 50 ms for each program of a kernel.
hypothesis.settings.register_profile(
    "interpreted",
    hypothesis.settings.get_profile("laws"),
    max_examples=4,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],  # shrinking takes minutes
)
hypothesis.settings.load_profile("laws")


@pytest.fixture(autouse=True)
def fewer_examples_where_interpreted(request: pytest.FixtureRequest) -> Iterator[None]:
    """For tests with a `twin`; one with examples of its own number keeps that."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if parameters.get("twin") == "gpu" and not torch.cuda.is_available():
        hypothesis.settings.load_profile("interpreted")
    yield
    hypothesis.settings.load_profile("laws")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the long tests counted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counts":
                terminalreporter.write_line(f"counted: {value}")


@pytest.fixture(autouse=True, scope="session")
def poisoned_empty() -> Iterator[None]:
    """Uninitialized float tensors are NaN, so a kernel that skips a row fails loudly."""

    def poisoned(real):
        def empty(*args, **options):
            fresh = real(*args, **options)
            return fresh.fill_(float("nan")) if fresh.is_floating_point() else fresh

        return empty

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", poisoned(torch.empty))
        patch.setattr(torch, "empty_like", poisoned(torch.empty_like))
        yield


@pytest.fixture(autouse=True, scope="session")
def compiled_once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
    """Before the first test of each of several processes."""
    worker = getattr(request.config, "workerinput", None)
    if worker is not None:
        shared = tmp_path_factory.getbasetemp().parent / "compiled"
        compile_share(int(worker["workerid"][2:]), worker["workercount"], shared)


@pytest.fixture(autouse=True)
def few_threads() -> None:
    """A worker's share of the cores: more threads than cores wait for each other."""
    share = max(available() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), 1)
    torch.set_num_threads(share)
    numba.set_num_threads(min(share, numba.config.NUMBA_NUM_THREADS))


@pytest.fixture(autouse=True)
def signals_as_on_a_terminal() -> Iterator[None]:
    """A process under nohup or in the background inherits that some are ignored; here none is."""
    handlers = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL}
    handlers |= {"SIGHUP": signal.SIG_DFL} if hasattr(signal, "SIGHUP") else {}
    before = {name: signal.signal(getattr(signal, name), how) for name, how in handlers.items()}
    yield
    for name, how in before.items():
        signal.signal(getattr(signal, name), how)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries that still draw from the global state)


@pytest.fixture
def real_scenes() -> Path:
    """The folder of real scenes; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("OREFIELD_SCENES", ROOT.parent / "shared" / "scenes"))
    if not folder.is_dir():
        pytest.skip(f"real scenes not found at {folder}; set OREFIELD_SCENES to their folder")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded scene `shapes` at 16 x 16 pixels, six training and two test views, on disk."""
    from orefield.scenes.shapes import write_shapes

    folder = tmp_path_factory.mktemp("scenes") / "tiny"
    write_shapes(folder, 16, 6, 2)
    return folder


@pytest.fixture
def tiny_config() -> RunConfig:
    """The smallest run that exercises every part: a step takes a few milliseconds."""
    return RunConfig(
        steps=12,
        field=FieldConfig(
            levels=4,
            log2_hashmap_size=10,
            base_resolution=4,
            max_resolution=32,
            width=16,
            init_density=1.0,
        ),
        sampler=SamplerConfig(
            kind="occupancy",
            resolution=16,
            steps_per_diagonal=64,
            cone_angle=1 / 256,
            refresh_every=4,
            warmup=8,
        ),
        optim=OptimConfig(target_samples=1024),
    )


@pytest.fixture
def tiny_scene(tiny_folder: Path, tiny_config: RunConfig):
    from orefield.scenes import open_scene

    return open_scene(tiny_folder, tiny_config.scene)
