"""Laws of `mine`: whatever the plain module does, with a backward pass through the kept alone."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm

from orefield.config import MiningConfig
from orefield.errors import OrefieldError
from orefield.fields.mlp import MlpField
from orefield.mining import MiningStats, hardness, mine, select

KEEP_ALL = [
    MiningConfig(rule="threshold", threshold=0.0),
    MiningConfig(rule="pruned"),
    MiningConfig(rule="topk", budget=1.0),
    MiningConfig(rule="poisson", budget=1.0, alpha=1.0),
    MiningConfig(rule="uniform", budget=1.0),
]
EVERYTHING = KEEP_ALL[0]


class Normalized(nn.Module):
    """Layer normalization, a residual, a tied weight, a frozen one, an unused one; 3-d output."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.again = nn.Linear(3, 3)
        self.again.weight = self.inner.weight
        self.norm = nn.LayerNorm(3)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.norm(self.inner(x)).tanh() * self.frozen
        return torch.stack([y, self.again(y)], dim=1)


class TwoHeads(nn.Module):
    """Two inputs, two outputs, one of them one-dimensional."""

    def __init__(self) -> None:
        super().__init__()
        self.density = nn.Linear(3, 1)
        self.color = nn.Sequential(nn.Linear(5, 8), nn.SiLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return self.density(x).squeeze(1), self.color(torch.cat([x, d], dim=1))


class Frequency(nn.Module):
    """The original NeRF, with samples on the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.field = MlpField(8, "fp32", torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        ray = torch.arange(len(x))
        return self.field(x.T, self.field.encode_directions(F.normalize(x, dim=1)), ray)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4))


ARCHITECTURES = {"mlp": mlp, "normalized": Normalized, "two heads": TwoHeads, "nerf": Frequency}


def build(name: str, samples: int = 40) -> tuple[nn.Module, list[Tensor]]:
    """A module in float64 and inputs that require a gradient."""
    torch.manual_seed(3)
    module = ARCHITECTURES[name]().double()
    widths = [3, 2] if name == "two heads" else [3]
    return module, [
        torch.randn(samples, w, dtype=torch.float64, requires_grad=True) for w in widths
    ]


def loss_of(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """A loss that is hard for few samples."""
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum((part * 6).exp().mean() for part in parts)


def gradients(module: nn.Module, inputs: list[Tensor], loss: Tensor) -> list[Tensor | None]:
    for x in [*inputs, *module.parameters()]:
        x.grad = None
    loss.backward()
    return [None if x.grad is None else x.grad.clone() for x in [*inputs, *module.parameters()]]


def same(found: list[Tensor | None], expected: list[Tensor | None], **tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("config", KEEP_ALL, ids=lambda config: config.rule)
def test_keeping_everything_gives_exactly_the_plain_gradients(name, config):
    module, inputs = build(name)
    outputs = mine(module, *inputs, rule=config)
    same(
        gradients(module, inputs, loss_of(outputs)),
        gradients(module, inputs, loss_of(module(*inputs))),
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_outputs_are_the_plain_modules(name):
    module, inputs = build(name)
    torch.testing.assert_close(mine(module, *inputs), module(*inputs), rtol=0, atol=0)


@pytest.mark.parametrize("rule", ["threshold", "hsm", "poisson"])
def test_gradients_are_those_of_the_kept_samples_times_their_weights(rule):
    module, (x,) = build("mlp")
    config = MiningConfig(rule=rule, alpha=1.0)
    mined = gradients(
        module, [x], loss_of(mine(module, x, rule=config, generator=torch.manual_seed(5)))
    )

    raw = module(x)
    (grad_raw,) = torch.autograd.grad(loss_of(raw), raw)
    (kept, weight), _ = select(config, hardness(grad_raw), torch.manual_seed(5))
    assert 0 < len(kept) < len(x)
    arriving = grad_raw[kept] if weight is None else grad_raw[kept] * weight[:, None]
    same(mined, gradients(module, [x], (module(x[kept]) * arriving).sum()), rtol=1e-6, atol=1e-9)


def test_poisson_with_full_weights_is_unbiased():
    module, (x,) = build("mlp")
    exact = gradients(module, [], loss_of(module(x)))
    torch.manual_seed(7)
    probes = [torch.randn_like(p) for p in module.parameters()]
    config = MiningConfig(rule="poisson", alpha=1.0, budget=0.3)

    def projected(grads):
        return sum(float((g * probe).sum()) for g, probe in zip(grads, probes, strict=True))

    generator = torch.Generator().manual_seed(8)
    x = x.detach()
    draws = torch.tensor(
        [
            projected(
                gradients(module, [], loss_of(mine(module, x, rule=config, generator=generator)))
            )
            for _ in range(400)
        ]
    )
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - projected(exact)) < 4 * error
    assert abs(projected(exact)) > 10 * error  # the test could tell the truth from zero


def saved_bytes(run) -> int:
    """Bytes that autograd holds on to while `run` builds its graph."""
    held = {}

    def pack(x):
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        run()
    return sum(held.values())


def test_nothing_is_held_for_the_backward_pass_but_inputs_and_parameters():
    module, (x,) = build("mlp", 1000)
    own = sum(p.untyped_storage().nbytes() for p in [x, *module.parameters()])
    assert saved_bytes(lambda: mine(module, x)) == own
    assert saved_bytes(lambda: module(x)) >= 1000 * (3 + 16) * 8


def test_gradients_accumulate_over_backward_passes():
    module, (x,) = build("mlp")
    loss = loss_of(mine(module, x))
    once = gradients(module, [x], loss_of(mine(module, x)))
    for p in [x, *module.parameters()]:
        p.grad = None
    loss.backward(retain_graph=True)
    loss.backward()
    same([p.grad / 2 for p in [x, *module.parameters()]], once)


def test_autograd_grad_returns_what_backward_accumulates():
    module, (x,) = build("mlp")
    expected = gradients(module, [x], loss_of(mine(module, x)))
    sought = [x, *module.parameters()]
    same(list(torch.autograd.grad(loss_of(mine(module, x)), sought)), expected)
    (alone,) = torch.autograd.grad(loss_of(mine(module, x)), x)
    same([alone], expected[:1])


def test_one_module_used_twice_in_a_step_gets_both_gradients():
    module, (a,) = build("mlp")
    b = torch.randn(17, 3, dtype=torch.float64)
    parts = [gradients(module, [a], loss_of(mine(module, x))) for x in (a, b)]
    both = gradients(module, [a], loss_of(mine(module, a)) + loss_of(mine(module, b)))
    same(
        both[1:],
        [p + q for p, q in zip(parts[0][1:], parts[1][1:], strict=True)],
        rtol=1e-12,
        atol=1e-15,
    )


def test_outputs_that_the_loss_ignores_need_no_gradient():
    module, inputs = build("two heads")
    density, _ = mine(module, *inputs, rule=EVERYTHING)
    same(
        gradients(module, inputs, loss_of(density)),
        gradients(module, inputs, loss_of(module(*inputs)[0])),
    )


def test_inputs_alone_may_require_a_gradient():
    module, (x,) = build("mlp")
    module.requires_grad_(False)
    mined = gradients(module, [x], loss_of(mine(module, x, rule=EVERYTHING)))
    same(mined, gradients(module, [x], loss_of(module(x))))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_holds_in_the_second_run(dtype):
    module, (x,) = build("mlp")
    module, x = module.float(), x.detach().float()
    with torch.autocast("cpu", dtype):
        mined, plain = mine(module, x, rule=EVERYTHING), module(x)
    assert mined.dtype == plain.dtype == dtype
    same(  # the backward pass runs outside
        gradients(module, [], loss_of(mined.float())), gradients(module, [], loss_of(plain.float()))
    )


def test_plain_use_after_mining_in_one_autocast_region_keeps_its_gradient():
    module, (x,) = build("mlp")
    module, x = module.float(), x.detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        mine(module, x)
        loss = loss_of(module(x).float())
    assert all(g.abs().sum() > 0 for g in gradients(module, [], loss))


def test_gradient_scaler_does_not_change_the_selection_and_skips_overflows():
    module, (x,) = build("mlp")
    plain = gradients(module, [], loss_of(mine(module, x)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer.zero_grad()
    scaler.scale(loss_of(mine(module, x))).backward()
    scaler.unscale_(optimizer)
    same([p.grad for p in module.parameters()], plain, rtol=1e-12, atol=0)

    before = [p.clone() for p in module.parameters()]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer.zero_grad()
    blown_up = mine(module, x)[0].sum() * math.inf + mine(module, x)[1:].sum()
    scaler.scale(blown_up).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 512.0
    same(list(module.parameters()), before)


def test_without_gradients_it_is_a_plain_call():
    module, (x,) = build("mlp")
    with torch.no_grad():
        assert not mine(module, x).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(mine(module, x), module(x))
    assert mine(module, x, rule="plain").grad_fn.name() == module(x).grad_fn.name()


def test_forward_hooks_see_the_batch_and_then_the_kept():
    module, (x,) = build("mlp")
    sizes, stats = [], MiningStats()
    module[0].register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    loss_of(mine(module, x, stats=stats)).backward()
    assert sizes == [40, 4, stats.kept]  # four: the check of a module that is first mined
    assert 0 < stats.kept < 40
    loss_of(mine(module, x, stats=stats)).backward()
    assert sizes[3:] == [40, stats.kept]


def test_hooks_on_parameters_fire_once():
    module, (x,) = build("mlp")
    expected = gradients(module, [], loss_of(mine(module, x)))
    for p in module.parameters():
        p.register_hook(lambda g: 2 * g)
    same(gradients(module, [], loss_of(mine(module, x))), [2 * g for g in expected])


def test_zero_gradient_gives_zero_gradients():
    module, (x,) = build("mlp")
    found = gradients(module, [x], 0 * mine(module, x).sum())
    same(found, [torch.zeros_like(p) for p in [x, *module.parameters()]])


def test_no_samples_give_zero_gradients():
    module, (x,) = build("mlp", samples=0)
    found = gradients(module, [x], mine(module, x).sum())
    same(found, [torch.zeros_like(p) for p in [x, *module.parameters()]])


@pytest.mark.parametrize("rule", ["threshold", "importance"])
def test_a_nan_reaches_the_parameters_but_not_the_other_samples(rule):
    module, (x,) = build("mlp")
    raw = mine(module, x, rule=rule)
    found = gradients(module, [x], raw[3].sum() * math.nan + raw[4:].sum())
    assert all(g.isnan().any() for g in found[1:])
    assert found[0][3].isnan().all()
    assert found[0].isnan().any(dim=1).sum() == 1
    assert (found[0][4:] != 0).any()


def test_stats_tell_what_was_kept_and_carry_the_running_tau():
    module, (x,) = build("mlp")
    stats = MiningStats()
    assert (stats.share, stats.effective, stats.quantiles(0.5)) == (0.0, 0.0, [0.0])
    for _ in range(3):
        raw = mine(module, x, rule="hsm", stats=stats)
        loss_of(raw).backward()
    raw = module(x)
    g = hardness(torch.autograd.grad(loss_of(raw), raw)[0])
    tau = math.sqrt(40 * float(g.square().sum())) / float(g.sum())
    assert stats.passes == 3
    assert stats.samples == 40
    assert stats.share == stats.kept / 40
    assert float(stats.tau) == pytest.approx(tau + (1 - tau) * 0.99**3, rel=1e-5)
    assert stats.effective == pytest.approx(40 / tau**2, rel=1e-5)
    assert stats.quantiles(0.0, 1.0) == pytest.approx([float(g.min()), float(g.max())])


def test_same_generator_same_gradients():
    module, (x,) = build("mlp")
    runs = [
        gradients(
            module,
            [],
            loss_of(mine(module, x, rule="hsm", generator=torch.Generator().manual_seed(s))),
        )
        for s in (1, 1, 2)
    ]
    same(runs[0], runs[1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_parameters_changed_before_the_backward_pass_are_noticed():
    module, (x,) = build("mlp")
    loss = loss_of(mine(module, x))
    with torch.no_grad():
        module[0].weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_are_refused():
    module, (x,) = build("mlp")
    (g,) = torch.autograd.grad(loss_of(mine(module, x)), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


class Returns(nn.Module):
    """Something other than one row per sample."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.layer, self.answer = nn.Linear(3, 4), answer

    def forward(self, x: Tensor) -> object:
        return self.answer(self.layer(x))


@pytest.mark.parametrize(
    ("module", "shapes", "message"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1)), [(8, 3)], "1 is a Dropout in training"),
        (nn.BatchNorm1d(3), [(8, 3)], "the module is a BatchNorm1d in training"),
        (nn.Sequential(nn.Linear(3, 4), nn.RReLU()), [(8, 3)], "1 is a RReLU in training"),
        (
            nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4))),
            [(8, 3)],
            "0.parametrizations.weight.0 has spectral normalization in training",
        ),
        (spectral_norm(nn.Linear(3, 4)), [(8, 3)], "the module has spectral normalization"),
        (Returns(lambda y: y.sum()), [(8, 3)], r"one row per sample \(8\), got shape \(\)"),
        (Returns(lambda y: y.T), [(8, 3)], r"got shape \(4, 8\)"),
        (Returns(lambda y: {"raw": y}), [(8, 3)], "tuple of tensors, got dict"),
        (mlp(), [(8, 3), (7, 3)], r"one row per sample, got \(8, 3\), \(7, 3\)"),
        (mlp(), [()], r"one row per sample, got \(\)"),
        (mlp(), [], "one row per sample, got none"),
    ],
)
def test_what_cannot_be_mined_is_refused_with_a_clear_line(module, shapes, message):
    with pytest.raises(OrefieldError, match=message):
        mine(module, *[torch.zeros(shape) for shape in shapes])


class Careless(nn.Module):
    """What no list of module types tells: it is seen by running twice."""

    def __init__(self, spoil) -> None:
        super().__init__()
        self.layer, self.spoil = nn.Linear(3, 8), spoil

    def forward(self, x: Tensor) -> Tensor:
        return self.spoil(self.layer(x), self.training)


CARELESS = {
    "dropout": lambda y, training: F.dropout(y, 0.1, training),
    "noise": lambda y, training: y + 0.01 * torch.randn_like(y) * training,
    "batch statistics": lambda y, training: (y - y.mean(0)) if training else y,
    "order": lambda y, training: y.cumsum(0) if training else y,
}


@pytest.mark.parametrize("name", CARELESS)
def test_a_forward_that_does_not_repeat_itself_is_refused_in_training_alone(name):
    torch.manual_seed(0)
    module, x = Careless(CARELESS[name]), torch.randn(32, 3)
    loss_of(mine(module.eval(), x)).backward()
    assert module.layer.weight.grad.abs().sum() > 0
    for _ in range(2):  # and again: what has failed is not taken for checked
        with pytest.raises(OrefieldError, match=r"Careless gave other outputs .* on 4 of the"):
            mine(module.train(), x)


def test_the_check_leaves_the_global_generator_alone():
    module, (x,) = build("mlp")
    before = torch.get_rng_state()
    mine(module, x)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_no_reason_to_refuse(dtype):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    for seed in range(5):
        x = torch.randn(999, 64, generator=torch.manual_seed(seed))
        fresh = nn.Sequential(*module)  # not checked yet
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            assert mine(fresh, x).shape == (999, 256)


PARAMETRIZED = {
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(3, 4)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(3, 4)),
    "spectral norm at rest": lambda: parametrizations.spectral_norm(nn.Linear(3, 4)).eval(),
    "used twice": lambda: _twice(nn.Linear(3, 3)),
    "normalized and used twice": lambda: _twice(parametrizations.weight_norm(nn.Linear(3, 3))),
}


def _twice(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.Tanh(), layer)


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_weights_made_of_others_or_used_twice_get_their_exact_gradients(name):
    torch.manual_seed(1)
    module = PARAMETRIZED[name]().double()
    x = torch.randn(20, 3, dtype=torch.float64)
    parameters = list(module.parameters())
    found = gradients(module, [], loss_of(mine(module, x, rule=EVERYTHING)))
    assert any(g is not None and g.abs().sum() > 0 for g in found)
    assert all(p is q for p, q in zip(module.parameters(), parameters, strict=True))
    same(found, gradients(module, [], loss_of(module(x))))


@pytest.mark.parametrize("rest", [nn.Dropout(0.5).eval(), nn.Dropout(0.0)], ids=["eval", "none"])
def test_dropout_that_drops_nothing_is_welcome(rest):
    module = nn.Sequential(nn.Linear(3, 4), rest)
    loss_of(mine(module, torch.randn(8, 3))).backward()
    assert module[0].weight.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore")  # the compiler's, about the checked annotations of tests
def test_compiled_caller_breaks_its_graph_or_is_refused():
    module, (x,) = build("mlp")
    expected = gradients(module, [x], loss_of(mine(module, x)))

    def caller(x: Tensor) -> Tensor:
        return loss_of(mine(module, x) * 1.0)

    same(gradients(module, [x], torch.compile(caller, backend="eager")(x)), expected)
    torch.compiler.reset()  # forget that the caller fell back
    with pytest.raises(Exception, match="leave out fullgraph=True"):
        torch.compile(caller, backend="eager", fullgraph=True)(x)


def test_compiled_module_runs_compiled_both_times():
    module, (x,) = build("mlp")
    expected = gradients(module, [x], loss_of(mine(module, x)))
    runs = []

    def backend(graph, _examples):
        def run(*args):
            runs.append(torch.is_grad_enabled())
            return graph(*args)

        return run

    compiled = torch.compile(module, backend=backend)
    same(gradients(module, [x], loss_of(mine(compiled, x))), expected)
    assert runs == [False, False, True]  # the second checks a module that is first mined


def test_importing_it_needs_neither_numba_nor_the_trainer():
    script = (
        "import sys; from orefield.mining import mine; import orefield;"
        "bad = {'numba', 'orefield.training.trainer', 'orefield.scenes', 'PIL'} & set(sys.modules);"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_get_the_gradients_of_one(tmp_path):
    script = Path(__file__).with_name("ddp_worker.py")
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meeting")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        answers = [worker.communicate(timeout=120)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(answers)
