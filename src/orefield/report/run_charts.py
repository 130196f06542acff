"""The curves of one run, or of several in the same charts."""

from collections.abc import Callable, Sequence

from orefield.report.charts import Chart, Curve, Point, draw_charts
from orefield.report.facts import RunFacts
from orefield.report.history import Evaluation, HistoryPoint
from orefield.report.markup import Html, section, tag, text

_TIME, _PSNR, _LOSS, _SHARE = "training time (s)", "PSNR (dB)", "loss", "samples kept"
Timed = HistoryPoint | Evaluation


def _seconds(one: Timed) -> float:
    return one.seconds


def _step(one: Timed) -> float:
    return float(one.step)


def curves_section(runs: Sequence[RunFacts]) -> Html:
    """PSNR over seconds and steps, terms of the loss, share of samples kept."""
    drawn = draw_charts(_own_charts(runs[0]) if len(runs) == 1 else _shared_charts(runs))
    return section("Training", drawn or tag("p", text("No course of the training is recorded.")))


def _own_charts(run: RunFacts) -> list[Chart]:
    points, terms = run.history.points, _terms([run])
    losses = [
        Curve(term, [(p.seconds, p.losses.get(term)) for p in points], index, index)
        for index, term in enumerate(terms)
    ]
    kept = Curve("kept", [(p.seconds, p.kept_share) for p in points])
    title = "Terms of the loss, weighted" if len(terms) > 1 else f"Loss: {', '.join(terms)}"
    return [
        Chart("PSNR over time", _TIME, _PSNR, _psnr(run, _seconds)),
        Chart("PSNR over steps", "steps", _PSNR, _psnr(run, _step)),
        Chart(f"{title} (logarithmic)", _TIME, _LOSS, losses, log=True),
        Chart("Share of samples kept", _TIME, _SHARE, [kept], percent=True),
    ]


def _psnr(run: RunFacts, across: Callable[[Timed], float]) -> list[Curve]:
    """Training rays, test pixels, and all test views at the end."""
    points, evaluations = run.history.points, run.history.evaluations
    train: list[Point] = [(across(p), p.train_psnr) for p in points]
    test: list[Point] = [(across(e), e.test_psnr) for e in evaluations]
    curves = [
        Curve("training rays", train, color=5, kind="faint"),
        Curve("test pixels", test, kind="dots"),
    ]
    if points and "psnr" in run.scores:
        last: list[Point] = [(across(points[-1]), run.scores["psnr"])]
        curves.append(Curve("all test views", last, color=1, kind="star"))
    return curves


def _shared_charts(runs: Sequence[RunFacts]) -> list[Chart]:
    """The same with a curve for each run; a chart for each term of the loss.

    Runs of one name, as are an arm's with several seeds, have one color.
    """
    names = [run.name for run in runs]
    styles = {name: index for index, name in enumerate(dict.fromkeys(names))}

    def trained(value: Callable[[HistoryPoint], float | None]) -> list[Curve]:
        rows = [[(p.seconds, value(p)) for p in run.history.points] for run in runs]
        return [Curve(n, row, styles[n], styles[n]) for n, row in zip(names, rows, strict=True)]

    def tested(across: Callable[[Timed], float]) -> list[Curve]:
        rows = [[(across(e), e.test_psnr) for e in run.history.evaluations] for run in runs]
        pairs = zip(names, rows, strict=True)
        return [Curve(name, row, styles[name], styles[name], "dots") for name, row in pairs]

    charts = [
        Chart("PSNR of test pixels over time", _TIME, _PSNR, tested(_seconds)),
        Chart("PSNR of test pixels over steps", "steps", _PSNR, tested(_step)),
        Chart("PSNR of training rays", _TIME, _PSNR, trained(lambda p: p.train_psnr)),
        Chart(
            "Share of samples kept", _TIME, _SHARE, trained(lambda p: p.kept_share), percent=True
        ),
    ]
    for term in _terms(runs):
        curves = trained(lambda p, term=term: p.losses.get(term))  # type: ignore[misc]
        charts.append(Chart(f"Loss: {term} (logarithmic)", _TIME, _LOSS, curves, log=True))
    return charts


def _terms(runs: Sequence[RunFacts]) -> list[str]:
    """Names of the terms of the loss, in their order."""
    points = [point for run in runs for point in run.history.points]
    return list(dict.fromkeys(term for point in points for term in point.losses))
