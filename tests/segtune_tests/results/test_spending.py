"""What trials took: in hours, in money, and against a budget."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher
from support.report_values import found
from support.spec_jobs import Job
from support.studies.known_study import STEADY, rewrite_trials, write_study

from segtune import Ablation
from segtune.cli import main
from segtune.execution.resources import Resources, check_amounts
from segtune.results import tables
from segtune.results.provenance import Origin
from segtune.results.spending import Allowance, Spent, check_currency, costs_of_trials, read_spent
from segtune.results.trial_rows import record_cancelled, record_failure, trial_row
from segtune.search.limited import LimitedSearcher
from segtune.search.searchers import ListSearcher
from segtune.study.money import Budget, Money, read_budget, read_money
from segtune.study.overrides import SpecError
from segtune.study.trial import Trial

TWO_EUROS = Money(2.0, "EUR")
STUDY = Ablation(question="?", baseline=Job(), arms={"long": {"length": 3.0}}, seeds=(0, 1))
TRIALS = list(STUDY.trials({}))


def row(trial: int, attempt: int, hours: float, price: float | None = 2.0) -> dict[str, Any]:
    started = datetime(2026, 1, attempt, trial, tzinfo=UTC)
    return {
        **trial_row(TRIALS[trial], Origin(None, None, {}), 1),
        "attempt": attempt,
        "started": started,
        "seconds": 3600 * hours,
        "price_per_hour": price,
        "currency": None if price is None else "EUR",
    }


def write(storage: Path, *rows: dict[str, Any]) -> None:
    for one in rows:
        tables.write(storage, "mine", "trials", [one])


def test_every_attempt_counts_at_its_own_price(tmp_path: Path) -> None:
    write(tmp_path, row(0, 1, 1.5), row(0, 2, 1.0, price=4.0))
    write(tmp_path, row(1, 1, 0.5, price=None), row(1, 2, 1.0))
    took = read_spent(tmp_path, "mine")
    assert took == Spent(4 * 3600, Money(9.0, "EUR"), 0.5 * 3600, TWO_EUROS)
    attempts = tables.read_attempts(tmp_path, "mine").to_pylist()
    assert costs_of_trials(attempts) == {TRIALS[0].trial_id: 7.0}, (
        "what the other cost is not known"
    )
    assert read_spent(tmp_path, "other") == Spent()


def test_rows_of_older_versions_count_to_their_end(tmp_path: Path) -> None:
    ended = row(0, 1, 0) | {"seconds": None}
    write(tmp_path, ended | {"ended": ended["started"] + timedelta(hours=2)})
    write(tmp_path, row(1, 1, 0) | {"seconds": None, "ended": None})
    assert read_spent(tmp_path, "mine").seconds == 7200


def test_what_was_killed_last_week_has_not_run_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    monkeypatch.setattr("segtune.results.trial_rows._PROCESS_BEGAN", began)
    write(tmp_path, row(0, 1, 1.0), row(1, 1, 1.0), row(1, 2, 0.0) | {"started": began})
    record_failure(tmp_path, "mine", TRIALS[1], Origin(None, None, {}), 1, "no")
    record_cancelled(tmp_path, "mine")
    assert 7205 <= read_spent(tmp_path, "mine").seconds < 7300


def test_a_study_has_one_currency(tmp_path: Path) -> None:
    write(tmp_path, row(0, 1, 1.0))
    check_currency(tmp_path, "mine", TWO_EUROS)
    with pytest.raises(SpecError, match="priced in EUR"):
        check_currency(tmp_path, "mine", Money(2.0, "USD"))


@pytest.mark.parametrize("text", ["2", "2 h", "0EUR", "-1EUR", "EUR 2", "2,5EUR", "nan EUR", ""])
def test_no_price(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2.50EUR"):
        read_money(text)


def test_amounts_are_read_back_as_they_were_written() -> None:
    assert read_money("1234.5678 eur") == Money(1234.5678, "EUR")
    assert read_money(Money(1234.5678, "EUR").written) == Money(1234.5678, "EUR")
    assert read_budget("0.3h") == Budget(seconds=0.3 * 3600)
    assert read_budget(read_budget("0.3h").written) == read_budget("0.3h")
    assert read_budget("50EUR") == read_budget(read_budget("50EUR").written)
    for text in ("20", "h", "0h", "20 d", "-1h"):
        with pytest.raises(ValueError, match="such as 20h or 50EUR"):
            read_budget(text)


def test_what_an_elastic_trial_costs_is_not_known() -> None:
    check_amounts(Resources(workers=2, price_per_hour=TWO_EUROS))
    with pytest.raises(SpecError, match="where its workers come and go"):
        check_amounts(Resources(workers=1, max_workers=2, price_per_hour=TWO_EUROS))


def limited(room: Callable[[], int], is_spent: Callable[[], bool]) -> LimitedSearcher:
    return LimitedSearcher(ListSearcher(TRIALS), room, is_spent)


def given(searcher: LimitedSearcher, name: str) -> Trial:
    handed_out = searcher.suggest(name)
    assert handed_out is not None
    trial: Trial = handed_out["trial"].unpack()
    return trial


def test_nothing_is_handed_out_once_the_budget_is_spent() -> None:
    spent = [False]
    searcher = limited(lambda: 2, lambda: spent[0])
    assert given(searcher, "a") == TRIALS[0]
    spent[0] = True
    end: Any = searcher.suggest("b")
    assert end == Searcher.FINISHED
    assert (searcher.handed_out, searcher.closed) == (1, True)


def test_there_are_as_many_at_a_time_as_there_is_room_for_now() -> None:
    room = [1]
    searcher = limited(lambda: room[0], lambda: False)
    assert given(searcher, "a") == TRIALS[0]
    assert searcher.suggest("b") is None
    room[0] = 2  # a node joins
    assert given(searcher, "b") == TRIALS[1]
    room[0] = 1  # and is lost
    searcher.on_trial_complete("a")
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b")
    assert given(searcher, "c") == TRIALS[2]
    assert not searcher.closed


def test_a_callback_that_cannot_tell_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    calls = iter([2])

    def broken() -> bool:
        raise OSError("the table is gone for a second")

    searcher = limited(lambda: next(calls), broken)  # raises StopIteration from then on
    assert given(searcher, "a") == TRIALS[0]
    assert searcher.max_concurrent == 2
    assert "gone for a second" in capsys.readouterr().err


def test_currencies_are_not_added() -> None:
    euros, dollars = Spent(1.0, TWO_EUROS), Spent(2.0, Money(5.0, "USD"))
    assert (euros + euros).money == Money(4.0, "EUR")
    assert (Spent() + euros).money == TWO_EUROS
    assert (euros + dollars) == Spent(3.0)


def test_studies_share_a_budget(tmp_path: Path) -> None:
    write(tmp_path, row(0, 1, 1.5))
    tables.write(tmp_path, "other", "trials", [row(0, 1, 1.5)])
    for budget in (Budget(seconds=3 * 3600), Budget(money=Money(6.0, "EUR"))):
        assert Allowance(budget, tmp_path, ("mine", "other")).is_spent()
        assert not Allowance(budget, tmp_path, ("mine",)).is_spent()


def test_report_and_status_tell_money_beside_dice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path, STEADY)
    summary = found(tmp_path, "known").summary.summary
    assert summary.currency is None
    assert all(a.cost is None for a in summary.arms)
    rewrite_trials(
        tmp_path,
        lambda r: {
            "seconds": 3600.0 * (2 if r["arm"] == "up" else 1),
            "price_per_hour": 2.5,
            "currency": "EUR",
        },
    )
    summary = found(tmp_path, "known").summary.summary
    assert summary.currency == "EUR"
    assert [a.cost.mean for a in summary.arms if a.cost] == [2.5, 5.0]
    assert all(a.cost and a.cost.low is not None for a in summary.arms)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    beside = {"started": now, "ended": now + timedelta(hours=1), "device": "cpu"}
    rewrite_trials(tmp_path, lambda _: beside)
    costs = [a.cost for a in found(tmp_path, "known").summary.summary.arms]
    assert [(c.mean, c.low, c.high) for c in costs if c] == [(2.5, None, None), (5.0, None, None)]
    assert (
        main(["report", "known", "--storage", str(tmp_path), "--out", str(tmp_path / "r.html")])
        == 0
    )
    assert "cost of a seed (EUR)" in (tmp_path / "r.html").read_text()
    capsys.readouterr()
    assert main(["status", "known", "--storage", str(tmp_path)]) == 0
    assert "37.50 EUR so far for 15 h 00 of trials" in capsys.readouterr().out
    assert main(["status", "known", "--storage", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["spent"]["money"] == {"amount": 37.5, "currency": "EUR"}


def test_show_prices_no_study_in_another_currency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.write(tmp_path, "demo", "trials", [row(0, 1, 1.5)])
    asked = ["show", "demo", "--storage", str(tmp_path), "--price-per-hour", "2USD"]
    assert main(asked) == 2
    assert "earlier trials of demo were priced in EUR" in capsys.readouterr().err
