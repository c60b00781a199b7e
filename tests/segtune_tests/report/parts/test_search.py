"""The trials of a search."""

from support.report_tables import EPOCHS

from segtune.report.summarize import Findings


def test_search_takes_values_at_the_best_epoch(rank: Findings) -> None:
    search = rank.search
    assert search is not None
    assert [t.number for t in search.trials] == list(range(10))
    assert [t.status for t in search.trials[3:5]] == ["failed", "pruned"]
    assert search.trials[0].params["method.side"] == "left"
    assert {t.best_epoch for t in search.trials if t.status == "finished"} == {EPOCHS - 1}
    points = [(t.values[0] or 0.0, t.values[1] or 0.0, t.on_front) for t in search.complete]
    for dice, assd, on_front in points:
        beaten = any(d >= dice and a <= assd and (d, a) != (dice, assd) for d, a, _ in points)
        assert on_front == (not beaten)
    best = sorted((dice for dice, _, _ in points), reverse=True)[:3]
    assert [t.values[0] for t in search.best(3)] == best
