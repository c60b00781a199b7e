"""Score against cost, and the Pareto front."""

from segtune.report.evidence.costs.measured import Cost
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.search_results import pareto_front
from segtune.report.parts.tradeoff import Panel, Point, tradeoff, tradeoff_figure


def test_nothing_dominates_the_front() -> None:
    def at(value: float) -> Estimate:
        return Estimate(value, None, None, 1)

    points = {"cheap": (1, 0.5), "good": (5, 0.8), "beaten": (6, 0.7), "dear": (9, 0.8)}
    panel = Panel(
        "peak",
        tuple(Point(n, at(x), at(y), "") for n, (x, y) in points.items()),
        (True, True, False, False),
    )
    drawn = tradeoff_figure(panel, {}, (), "Dice", fraction=True)
    assert drawn.data[0].x == (1, 5)
    costs = [Cost(n, False, 1, {"peak": at(x)}, {}) for n, (x, _) in points.items()]
    (found,) = tradeoff({n: at(y) for n, (_, y) in points.items()}, costs, {})
    assert found.front == panel.front


def test_pareto_front_keeps_equals_and_skips_the_undefined() -> None:
    points = [(0.7, 9.0), (0.7, 9.0), (0.6, 8.0), (0.6, 9.5), None]
    assert pareto_front(points, [True, False]) == (True, True, True, False, False)
