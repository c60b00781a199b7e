"""The best trials of a search, by its tables."""

import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from support.report_values import found
from support.score_kinds import KINDS
from support.spec_jobs import Job

from segtune.commands.shared import changed_study
from segtune.execution import runner
from segtune.execution.resources import Resources
from segtune.report.evidence.sequential.looks import undecided
from segtune.results import study_file, tables
from segtune.results.provenance import Origin
from segtune.results.status.study import read_status
from segtune.results.storage import Place
from segtune.search import finalists
from segtune.search.journal import JOURNAL
from segtune.search.results_store import DIED, ParquetResultsStore
from segtune.search.trial_history import PastTrial, read_past
from segtune.study import catalog, definition
from segtune.study.overrides import SpecError
from segtune.study.sequential import Sequential
from segtune.study.space import When
from segtune.study.spec import Ablation, AtMost, Objective, Search
from segtune.study.stopping import Asha
from segtune.study.trial import Trial

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEARCH = Search(
    question="?",
    baseline=Job(),
    space={"tool.teeth": IntDistribution(1, 64)},
    num_samples=4,
    finalists=3,
    finalist_seeds=(100,),
)


def past(number: int, dice: float, assd: float, status: str = "finished", **more: Any) -> PastTrial:
    changes = {"tool.teeth": more.pop("teeth", number + 1)}
    values = {"dice": dice, "assd": assd, **more}
    return PastTrial(f"t{number}", number, 0, changes, status, values=values)


def numbers(search: Search, trials: list[PastTrial]) -> list[int]:
    return [p.number for p in finalists.ranked(search, trials)]


def test_the_front_comes_first_then_the_first_objective() -> None:
    trials = [past(0, 0.80, 5.0), past(1, 0.79, 6.0), past(2, 0.50, 1.0), past(3, 0.60, 4.0)]
    assert numbers(SEARCH, trials) == [0, 3, 2, 1], "t1 is beaten by t0 in both"
    one = Search(
        question="?",
        baseline=Job(),
        space=SEARCH.space,
        num_samples=4,
        objectives=(Objective("assd", "minimize"),),
    )
    assert numbers(one, trials) == [2, 3, 0, 1]


def test_equals_keep_their_order_and_do_not_beat_each_other() -> None:
    assert numbers(SEARCH, [past(0, 0.5, 1.0), past(1, 0.5, 1.0)]) == [0, 1]


def test_what_has_no_value_or_broke_a_limit_is_not_among_them() -> None:
    limited = Search(
        question="?",
        baseline=Job(),
        space=SEARCH.space,
        num_samples=4,
        constraints=(AtMost("peak_memory_bytes", 100.0),),
    )
    trials = [
        past(0, 0.9, 1.0, peak_memory_bytes=101.0),
        past(1, 0.8, 1.0, peak_memory_bytes=100.0),
        past(2, float("nan"), 1.0, peak_memory_bytes=1.0),
        past(3, 0.95, 1.0, "pruned", peak_memory_bytes=1.0),
    ]
    assert numbers(limited, trials) == [1]


def test_nobody_is_chosen_while_any_trial_may_still_come() -> None:
    trials = [past(0, 0.9, 1.0), past(1, 0.8, 2.0, "failed"), past(2, 0.7, 3.0)]
    assert finalists.choose_finalists(SEARCH, trials) is None
    assert finalists.choose_finalists(SEARCH, [*trials, past(3, 0.6, 4.0, "running")]) is None
    chosen = finalists.choose_finalists(SEARCH, [*trials, past(3, 0.6, 4.0, "pruned")])
    assert chosen == {0: {"tool.teeth": 1}, 2: {"tool.teeth": 3}}


def test_a_configuration_drawn_twice_counts_once() -> None:
    trials = [past(i, 0.9 - i / 10, 1.0 + i, teeth=5 if i < 3 else 6) for i in range(4)]
    assert finalists.choose_finalists(SEARCH, trials) == {
        0: {"tool.teeth": 5},
        3: {"tool.teeth": 6},
    }


@pytest.mark.parametrize(
    "kept", [{"margin": {"dice": 0.01}}, {"finalist_seeds": Sequential(first=100)}]
)
def test_the_baseline_is_kept_where_finalists_are_held_against_it(kept: dict[str, Any]) -> None:
    trials = [past(i, 0.5 + i / 10, 5.0 - i) for i in range(4)]
    best = {number: {"tool.teeth": number + 1} for number in (3, 2, 1)}
    assert finalists.choose_finalists(SEARCH, trials) == best
    assert finalists.choose_finalists(replace(SEARCH, **kept), trials) == {
        **best,
        0: {"tool.teeth": 1},
    }


def write(storage: Path, number: int, dices: list[float], status: str, **more: Any) -> None:
    """A trial of a search in the tables."""
    name = f"t{number}"
    key: dict[str, Any] = {"trial_id": name, "attempt": 1}
    row: dict[str, Any] = {
        **key,
        "role": "search",
        "number": number,
        "seed": 0,
        "status": status,
        "changes": json.dumps({"tool.teeth": number + 1}),
        "best_epoch": 1 + dices.index(max(dices)),
        "trainable_parameters": 100 + number,
    }
    tables.write(storage, "s", "trials", [row | more])
    macro = {"split": "val", "resolution": "64x64", "protocol": "per_image", "class_name": "macro"}
    values: list[Mapping[str, Any]] = [
        {**key, **macro, "epoch": e, "metric": m, "value": v, **KINDS[m]}
        for e, dice in enumerate(dices, start=1)
        for m, v in (("dice", dice), ("assd", 1 - dice))
    ]
    other = {**key, **macro, "epoch": 1, "class_name": "ridge", "metric": "dice"}
    tables.write(storage, "s", "scores", [*values, {**other, "value": 9.9}])
    seconds = dict.fromkeys(("data", "forward", "backward", "optimizer"), 0.25)
    steps = [
        {
            **key,
            "step": step,
            "epoch": 1,
            "peak_memory_bytes": 1000 * step,
            "optimizer_state_bytes": 10,
            **{f"seconds_{part}": 100.0 if step == 1 else s for part, s in seconds.items()},
            "seconds_refresh": 1.0 if step == 2 else 0.0,
        }
        for step in (1, 2, 3)
    ]
    tables.write(storage, "s", "steps", steps)


def test_the_past_is_read_from_the_tables(tmp_path: Path) -> None:
    costly = Search(
        question="?",
        baseline=Job(),
        space=SEARCH.space,
        num_samples=4,
        objectives=(Objective("dice", "maximize"), Objective("seconds_per_step", "minimize")),
        scheduler=Asha(),
    )
    write(tmp_path, 10, [0.5, 0.7, 0.6], "finished")
    write(tmp_path, 2, [0.5, 0.7, 0.9], "pruned", stopped_epoch=2)
    write(tmp_path, 3, [0.5], "failed", error="boom")
    tables.write(tmp_path, "s", "trials", [{"trial_id": "t2-s1", "attempt": 1, "role": "finalist"}])
    read = read_past(costly, tmp_path, "s")
    assert [p.number for p in read] == [2, 3, 10]
    pruned, failed, finished = read
    assert list(pruned.curve.at_best) == [1, 2], "its worker wrote a third"
    assert [m["dice"] for m in finished.curve.at_best.values()] == [0.5, 0.7, 0.7]
    assert failed.error == "boom"
    assert finished.values == pytest.approx(
        {
            "dice": 0.7,
            "assd": 0.3,
            "trainable_parameters": 110.0,
            "peak_memory_bytes": 3000.0,
            "optimizer_state_bytes": 10.0,
            "seconds_per_step": 1.5,  # a mean without the first step
        }
    )
    assert read_past(costly, tmp_path, "s", only="t3") == [failed]
    assert read_past(costly, tmp_path, "nothing") == []


def test_a_run_says_that_there_are_fewer_finalists_than_asked_for(tmp_path: Path) -> None:
    observer: Any = None  # nothing starts: all is done
    for number in range(4):
        write(tmp_path, number, [0.5], "finished")
    limited = replace(SEARCH, constraints=(AtMost("trainable_parameters", 100),))  # t0 alone
    study_file.write(tmp_path, "s", definition.define("s", limited))
    name = "t0-s100"
    finalist = {"trial_id": name, "attempt": 1, "role": "finalist", "arm": "t0"}
    finalist |= {"status": "finished"}
    tables.write(tmp_path, "s", "trials", [finalist])
    score = {"trial_id": name, "attempt": 1, "epoch": 1, "split": "test"}
    tables.write(tmp_path, "s", "scores", [score])
    outcome = runner.run(limited, "s", tmp_path, Resources(), observer, undecided=undecided)
    assert (outcome.ran, outcome.total, outcome.lacking) == (0, 5, 2)
    chosen = read_status(tmp_path, "s", datetime.now(UTC))
    assert (chosen.total, chosen.waiting) == (5, 0), "two finalists can't exist"
    assert (tmp_path / "s" / JOURNAL).is_file(), "made whenever a search is looked at as finished"


def test_what_was_resumed_and_stopped_is_worth_what_it_was_before(tmp_path: Path) -> None:
    """No epoch of the second attempt was the best one, so its row names none."""
    write(tmp_path, 1, [0.7, 0.5], "running")
    write(tmp_path, 1, [0.7, 0.5], "pruned", stopped_epoch=2, best_epoch=None)
    (past,) = read_past(SEARCH, tmp_path, "s")
    assert past.values["dice"] == 0.7


def test_what_a_driver_writes_while_a_search_runs(tmp_path: Path) -> None:
    store = ParquetResultsStore(SEARCH, tmp_path, "s", Origin(None, None, {}), 1)
    write(tmp_path, 1, [0.5, 0.7], "running")
    trial = Trial("t1", "search", 0, Job(), {"tool.teeth": 2}, None, 1)
    assert (store.failed(trial).error, store.failed(trial).status) == (DIED, "failed")
    write(tmp_path, 2, [0.5, 0.7], "running")
    store.stopped(Trial("t2", "search", 0, Job(), {}, None, 2), 1)
    (past,) = read_past(SEARCH, tmp_path, "s", only="t2")
    assert (past.status, past.stopped_epoch, list(past.curve.at_best)) == ("pruned", 1, [1])
    write(tmp_path, 2, [0.5, 0.7, 0.8], "finished")  # its workers were just writing
    store.confirm({"t2": 1})
    (past,) = read_past(SEARCH, tmp_path, "s", only="t2")
    assert (past.status, past.stopped_epoch) == ("pruned", 1)
    nowhere = ParquetResultsStore(SEARCH, tmp_path / "file", "s", Origin(None, None, {}), 1)
    (tmp_path / "file").write_text("no folder: as a full disk, nothing can be written")
    assert nowhere.failed(trial).error == DIED


def test_an_ablation_is_made_around_the_best_of_a_finished_search(tmp_path: Path) -> None:
    for number, dice in enumerate((0.5, 0.6, 0.9)):
        write(tmp_path, number, [dice], "finished")
    with pytest.raises(SpecError, match="not finished: 3 of 4 trials"):
        finalists.best_changes(SEARCH, "s", storage=tmp_path)
    write(tmp_path, 3, [0.99], "failed")
    best = finalists.best_changes(SEARCH, "s", storage=tmp_path)
    assert best == {"tool.teeth": 3}
    ablation = Ablation.around(SEARCH, best, seeds=(100,))
    assert ablation.arms == {"teeth-8": {"tool.teeth": 8}}
    assert finalists.best_changes(SEARCH, "s", storage=tmp_path, trial=0) == {"tool.teeth": 1}
    with pytest.raises(SpecError, match="t3 has not finished"):
        finalists.best_changes(SEARCH, "s", storage=tmp_path, trial=3)


def asked(
    storage: Path, text: str | None, monkeypatch: pytest.MonkeyPatch, name: str | None = None
) -> int:
    monkeypatch.setattr(catalog, "find", lambda study: catalog.Named("s", SEARCH, ""))
    place = Place.of(storage)
    args = Namespace(study="s", name=name, num_samples=text, changes=[], storage=place)
    study = changed_study(args).study
    assert isinstance(study, Search)
    return study.num_samples


def test_a_finished_search_is_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(tmp_path, None, monkeypatch) == 4
    assert asked(tmp_path, "+20", monkeypatch) == 24, "of one that never ran"
    study_file.write(tmp_path, "s", definition.define("s", SEARCH))
    for number in range(4):
        write(tmp_path, number, [0.5], "finished")
    assert asked(tmp_path, "+20", monkeypatch) == 24
    extended = definition.define("s", SEARCH) | {"num_samples": 24}
    study_file.write(tmp_path, "s", extended)
    assert asked(tmp_path, "+20", monkeypatch) == 24, "it was interrupted: the same command"
    assert asked(tmp_path, None, monkeypatch) == 24, "what was extended stays so"
    assert asked(tmp_path, "6", monkeypatch) == 6, "for the next check to refuse"
    for number in range(4, 24):
        write(tmp_path, number, [0.5], "pruned" if number % 2 else "finished", stopped_epoch=None)
    assert asked(tmp_path, "+20", monkeypatch) == 44
    assert asked(tmp_path, "+20", monkeypatch, name="other") == 24


def test_status_waits_for_finalists(tmp_path: Path) -> None:
    study_file.write(tmp_path, "s", definition.define("s", SEARCH))
    for number in range(4):
        write(tmp_path, number, [0.5], "finished", config="{}", started=NOW, ended=NOW)
    seen = read_status(tmp_path, "s", NOW)
    assert (seen.total, seen.waiting) == (4 + 3, 3)
    tables.write(
        tmp_path,
        "s",
        "trials",
        [
            {
                "trial_id": "t2-s100",
                "attempt": 1,
                "role": "finalist",
                "arm": "t2",
                "status": "running",
                "config": "{}",
                "started": NOW,
            }
        ],
    )
    seen = read_status(tmp_path, "s", NOW)
    assert (seen.total, seen.waiting) == (4 + 3, 2)


def test_a_report_gives_a_trial_no_setting_that_it_lacks(tmp_path: Path) -> None:
    search = Search(
        question="?",
        baseline=Job(),
        space={
            "tool": CategoricalDistribution(("saw", "drill")),
            "tool.teeth": When("tool", ("saw",), IntDistribution(1, 64)),
        },
        num_samples=2,
    )
    study_file.write(tmp_path, "s", definition.define("s", search))
    for number, changes in enumerate(({"tool": "saw", "tool.teeth": 9}, {"tool": "drill"})):
        write(tmp_path, number, [0.5], "finished", changes=json.dumps(changes), config="{}")
    read = found(tmp_path, "s").search
    assert read is not None
    assert [t.params for t in read.trials] == [{"tool": "saw", "tool.teeth": 9}, {"tool": "drill"}]


@pytest.mark.parametrize("text", ["+", "many", "-3", "2.5", ""])
def test_what_is_no_number_of_trials_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    with pytest.raises(SpecError, match="or \\+20 for 20 more"):
        asked(tmp_path, text, monkeypatch)
