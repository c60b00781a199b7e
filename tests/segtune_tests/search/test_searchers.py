"""Where Tune takes its trials from, without a cluster."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray.tune.search import Searcher
from support.score_kinds import Scored

from segtune.search.journal import correct, rebuild
from segtune.search.searchers import ListSearcher, OptunaSearcher
from segtune.search.trial_history import LearningCurve, PastTrial
from segtune.study.space import Space, When
from segtune.study.spec import Ablation, AtMost, Objective, Search
from segtune.study.stopping import Asha
from segtune.study.trial import Trial


@dataclass(frozen=True)
class Config(Scored):
    rank: int = 8
    seed: int = 0


SEARCH = Search(
    question="?", baseline=Config(), space={"rank": IntDistribution(1, 64)}, num_samples=5
)
GOOD = {"final": True, "best/dice": 0.8, "best/assd": 3.0}
REACHED = {"dice": 0.7, "assd": 4.0}


def is_finished(suggestion: object) -> bool:
    return suggestion == Searcher.FINISHED


def trial_of(suggestion: Mapping[str, Any] | None) -> Trial:
    assert suggestion is not None
    assert not is_finished(suggestion)
    trial: Trial = suggestion["trial"].unpack()
    return trial


@dataclass
class Notes:
    """Takes the place of the tables: remembers what it is told."""

    costs_of: Mapping[str, float] = field(default_factory=dict)
    reason: str = "RuntimeError: out of luck"
    curve: LearningCurve = field(default_factory=LearningCurve)
    pruned: dict[str, int] = field(default_factory=dict)
    spoiled: dict[str, str] = field(default_factory=dict)

    def spoilt(self, trial: Trial, cause: str) -> None:
        self.spoiled[trial.trial_id] = cause

    def stopped(self, trial: Trial, epoch: int) -> None:
        self.pruned[trial.trial_id] = epoch

    def failed(self, trial: Trial) -> PastTrial:
        number = trial.number or 0
        kept = trial.trial_id, number, trial.seed, trial.changes
        return PastTrial(*kept, "failed", self.reason, curve=self.curve)

    def costs(self, trial: Trial) -> Mapping[str, float]:
        return self.costs_of


def make(
    search: Search,
    journal: Path,
    past: list[PastTrial] | None = None,
    notes: Notes | None = None,
    stopped: Mapping[str, int] | None = None,
) -> OptunaSearcher:
    return OptunaSearcher(search, "s", journal, past or [], notes or Notes(), stopped or {})


def gone(number: int, changes: Mapping[str, Any], *, seed: int = 0, **more: Any) -> PastTrial:
    """A trial of an earlier launch."""
    return PastTrial(f"t{number}", number, seed, changes, **{"status": "finished", **more})


def epoch(number: int, dice: float, *, of: int = 9, **more: float) -> dict[str, Any]:
    return {
        "epoch": number,
        "epochs": of,
        "final": False,
        "val/dice": dice,
        "selection": dice,
        **more,
    }


def states(path: Path) -> list[str]:
    return [t.state.name for t in journal(path)]


def journal(path: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="s", storage=storage).trials


def test_a_list_is_handed_out_in_order_and_ends() -> None:
    arms = {"a": {"rank": 1}}
    trials = list(Ablation(question="?", baseline=Config(), arms=arms, seeds=(0, 1)).trials({}))
    listed = ListSearcher(trials)
    assert [trial_of(listed.suggest(str(i))) for i in range(4)] == trials
    assert is_finished(listed.suggest("more"))


def test_the_baseline_is_the_first_trial_and_the_last_is_the_last(tmp_path: Path) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    trials = []
    for i in range(5):
        trials.append(trial_of(searcher.suggest(str(i))))
        searcher.on_trial_complete(str(i), GOOD)
    assert trials[0].changes == {"rank": 8}
    assert [t.trial_id for t in trials] == ["t0", "t1", "t2", "t3", "t4"]
    assert [t.config.rank for t in trials] == [t.changes["rank"] for t in trials]
    assert is_finished(searcher.suggest("more"))
    recorded = journal(tmp_path / "j")
    assert [t.values for t in recorded] == [[0.8, 3.0]] * 5
    assert [t.params for t in recorded] == [t.changes for t in trials]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("result", "error"),
    [
        (GOOD | {"best/dice": math.nan}, False),
        ({"final": True, "best/dice": 0.5}, False),
        (None, False),
        (GOOD, True),
    ],
)
def test_what_has_no_values_has_failed(
    tmp_path: Path, result: dict[str, Any] | None, error: bool
) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error)
    (recorded,) = journal(tmp_path / "j")
    assert recorded.state.name == "FAIL"


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    past = [
        gone(0, {"rank": 8}, values=REACHED),
        gone(1, {"rank": 5}, seed=2, status="running"),
        gone(3, {"rank": 9}, values=REACHED),
    ]
    searcher = make(SEARCH, tmp_path / "j", past)
    assert states(tmp_path / "j") == ["COMPLETE", "WAITING", "FAIL", "COMPLETE"], "t2 wrote no row"
    again = trial_of(searcher.suggest("a"))
    assert (again.trial_id, again.changes, again.seed) == ("t1", {"rank": 5}, 2)
    assert states(tmp_path / "j")[1] == "RUNNING"
    assert trial_of(searcher.suggest("b")).trial_id == "t4"
    searcher.on_trial_complete("a", GOOD)
    assert journal(tmp_path / "j")[1].values == [0.8, 3.0]
    assert trial_of(searcher.suggest("c")).trial_id == "t5", "in the place of t2"
    assert is_finished(searcher.suggest("d"))


def test_a_lost_baseline_is_asked_for_again(tmp_path: Path) -> None:
    past = [gone(1, {"rank": 5}, values=REACHED)]
    searcher = make(replace(SEARCH, num_samples=2), tmp_path / "j", past)
    assert trial_of(searcher.suggest("a")).changes == {"rank": 8}
    assert is_finished(searcher.suggest("b"))


def test_a_search_of_one_trial_runs_it(tmp_path: Path) -> None:
    searcher = make(replace(SEARCH, num_samples=1), tmp_path / "j")
    assert trial_of(searcher.suggest("a")).changes == {"rank": 8}
    assert is_finished(searcher.suggest("b"))


def test_another_launch_draws_other_configurations(tmp_path: Path) -> None:
    wide = {"rank": IntDistribution(1, 10**6)}
    search = replace(SEARCH, sampler="RandomSampler", space=wide)
    first = make(search, tmp_path / "a")
    drawn = [trial_of(first.suggest(str(i))).changes for i in range(3)]
    past = [gone(i, c, values=REACHED) for i, c in enumerate(drawn)]
    second = make(search, tmp_path / "b", past)
    assert trial_of(second.suggest("x")).changes not in drawn


def test_a_configuration_drawn_again_gets_another_seed(tmp_path: Path) -> None:
    only = replace(SEARCH, space={"rank": CategoricalDistribution((8,))}, num_samples=3)
    searcher = make(only, tmp_path / "j")
    assert [trial_of(searcher.suggest(str(i))).seed for i in range(3)] == [0, 1, 2]
    recorded = journal(tmp_path / "j")
    assert [t.user_attrs["seed"] for t in recorded] == [0, 1, 2]


ONE = replace(SEARCH, objectives=(Objective("dice", "maximize"),), scheduler=Asha())


@pytest.mark.filterwarnings("error")
def test_intermediate_values_are_what_a_trial_is_worth_so_far(tmp_path: Path) -> None:
    searcher = make(ONE, tmp_path / "j")
    searcher.suggest("a")
    for number, dice in enumerate((0.4, 0.6, 0.5), start=1):
        searcher.on_trial_result("a", epoch(number, dice))
        searcher.on_trial_result("a", epoch(number, dice))  # once more, after a worker died
    searcher.on_trial_complete("a", GOOD)
    (recorded,) = journal(tmp_path / "j")
    assert recorded.intermediate_values == {1: 0.4, 2: 0.6, 3: 0.6}
    assert (recorded.state.name, recorded.value) == ("COMPLETE", 0.8)


@pytest.mark.parametrize("search", [ONE, replace(SEARCH, scheduler=Asha())])
def test_a_stopped_trial_is_pruned_in_optuna_and_in_the_tables(
    tmp_path: Path, search: Search
) -> None:
    notes, stopped = Notes(), {"t0": 2}
    searcher = make(search, tmp_path / "j", notes=notes, stopped=stopped)
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch(1, 0.4) | {"val/assd": 9.0})
    last = epoch(2, 0.3) | {"val/assd": 8.0}
    searcher.on_trial_complete("a", last)  # Tune has told of it to nobody else
    (recorded,) = journal(tmp_path / "j")
    assert recorded.state.name == "PRUNED"
    assert recorded.user_attrs["stopped_by"] == "asha"
    assert recorded.user_attrs["epochs_done"] == 2
    assert notes.pruned == {"t0": 2}
    single = len(search.objectives) == 1
    assert recorded.intermediate_values == ({1: 0.4, 2: 0.4} if single else {})
    assert recorded.values == ([0.4] if single else None)


@pytest.mark.parametrize(("result", "error"), [(None, True), ({"error": "boom"}, False)])
def test_a_failed_trial_says_why(
    tmp_path: Path, result: dict[str, Any] | None, error: bool
) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error)
    (recorded,) = journal(tmp_path / "j")
    assert recorded.state.name == "FAIL"
    assert recorded.user_attrs["error"] == "RuntimeError: out of luck"


def test_what_is_no_number_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    searcher.suggest("a")
    searcher.on_trial_complete("a", GOOD | {"best/assd": math.nan})
    assert journal(tmp_path / "j")[0].user_attrs["error"] == "assd is nan"


def test_costs_are_objectives_and_constraints(tmp_path: Path) -> None:
    search = replace(
        SEARCH,
        objectives=(Objective("dice", "maximize"), Objective("seconds_per_step", "minimize")),
        constraints=(AtMost("peak_memory_bytes", 100.0),),
    )
    costs = {"seconds_per_step": 0.25, "peak_memory_bytes": 130.0}
    searcher = make(search, tmp_path / "j", notes=Notes(costs))
    searcher.suggest("a")
    searcher.on_trial_complete("a", GOOD)
    (recorded,) = journal(tmp_path / "j")
    assert recorded.values == [0.8, 0.25]
    assert recorded.constraints == {"peak_memory_bytes at most 100": 30.0}, "more than zero: broken"


CONDITIONAL: Space = {
    "method": CategoricalDistribution(("frozen", "lora")),
    "rank": When("method", ("lora",), IntDistribution(1, 64)),
}


@dataclass(frozen=True)
class Choosing(Config):
    method: str = "frozen"


def test_a_field_that_depends_is_drawn_where_it_exists(tmp_path: Path) -> None:
    search = replace(SEARCH, baseline=Choosing(), space=CONDITIONAL, num_samples=12)
    searcher = make(search, tmp_path / "j")
    trials = []
    for i in range(12):
        trials.append(trial_of(searcher.suggest(str(i))))
        searcher.on_trial_complete(str(i), GOOD)
    assert trials[0].changes == {"method": "frozen"}
    methods = {t.changes["method"] for t in trials}
    assert methods == {"frozen", "lora"}
    for trial in trials:
        assert ("rank" in trial.changes) == (trial.changes["method"] == "lora")
    assert [t.params for t in journal(tmp_path / "j")] == [t.changes for t in trials]


def test_every_combination_is_tried_once(tmp_path: Path) -> None:
    space: Space = {
        "rank": IntDistribution(7, 9),
        "method": CategoricalDistribution(("frozen", "lora")),
    }
    search = replace(
        SEARCH, baseline=Choosing(), space=space, num_samples=6, sampler="BruteForceSampler"
    )
    searcher, drawn = make(search, tmp_path / "a"), []
    for i in range(4):
        drawn.append(trial_of(searcher.suggest(str(i))).changes)
        searcher.on_trial_complete(str(i), GOOD)
    past = [gone(i, c, values=REACHED) for i, c in enumerate(drawn)]
    searcher = make(search, tmp_path / "b", past)
    for i in range(2):
        drawn.append(trial_of(searcher.suggest(str(i))).changes)
        searcher.on_trial_complete(str(i), GOOD)
    assert len({tuple(sorted(d.items())) for d in drawn}) == 6
    assert is_finished(searcher.suggest("more"))


@pytest.mark.parametrize("objectives", [ONE.objectives, SEARCH.objectives])
def test_a_rebuilt_study_says_what_the_live_one_said(
    tmp_path: Path, objectives: tuple[Objective, ...]
) -> None:
    search = replace(
        SEARCH,
        objectives=objectives,
        scheduler=Asha(),
        constraints=(AtMost("peak_memory_bytes", 100.0),),
        space={"rank": IntDistribution(1, 64), "speed": FloatDistribution(0.0, 1.0)},
        baseline=Speeding(),
    )
    curve = LearningCurve()
    curve.add(1, {"dice": 0.4, "assd": 9.0}, 0.4)
    notes, stopped = Notes({"peak_memory_bytes": 130.0}, curve=curve), {"t1": 1}
    searcher = make(search, tmp_path / "live", notes=notes, stopped=stopped)
    ends: list[tuple[dict[str, Any] | None, bool]] = [
        (GOOD, False),
        (epoch(1, 0.4) | {"val/assd": 9.0}, False),
        (None, True),
        (GOOD | {"best/dice": math.nan}, False),
    ]
    trials = [trial_of(searcher.suggest(str(i))) for i in range(5)]
    for i, (result, error) in enumerate(ends):
        searcher.on_trial_result(str(i), epoch(1, 0.4) | {"val/assd": 9.0})
        searcher.on_trial_complete(str(i), result, error)
    live = journal(tmp_path / "live")
    values = {"dice": 0.8, "assd": 3.0, "peak_memory_bytes": 130.0}
    more: list[dict[str, Any]] = [
        {"values": values},
        {"values": {**values, "dice": 0.4}, "status": "pruned", "stopped_epoch": 1},
        {"status": "failed", "error": notes.reason},
        {"values": {**values, "dice": math.nan}},
        {"status": "running"},
    ]
    past = [
        gone(i, t.changes, seed=t.seed, curve=curve if i < 4 else LearningCurve(), **m)
        for i, (t, m) in enumerate(zip(trials, more, strict=True))
    ]
    rebuild(search, "s", tmp_path / "again", past)
    again = journal(tmp_path / "again")
    assert [t.state.name for t in again] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "WAITING"]
    for before, now in zip(live[:4], again[:4], strict=True):
        assert now.state == before.state
        assert now.values == before.values
        assert now.params == before.params
        assert now.user_attrs == before.user_attrs
        assert now.constraints == before.constraints
        assert now.intermediate_values == before.intermediate_values
    assert again[4].user_attrs == live[4].user_attrs


@dataclass
class Unreadable(Notes):
    """Tables of which one file can't be read while the first trial ends."""

    def costs(self, trial: Trial) -> Mapping[str, float]:
        if trial.number == 0:
            raise OSError("can't read results/s/tables/steps/t0-a1.parquet")
        return {"seconds_per_step": 0.25}


COSTLY = replace(
    SEARCH,
    objectives=(Objective("dice", "maximize"), Objective("seconds_per_step", "minimize")),
)


def test_a_result_that_can_not_be_read_fails_its_trial_alone(tmp_path: Path) -> None:
    notes = Unreadable()
    searcher = make(COSTLY, tmp_path / "j", notes=notes)
    for name in ("a", "b"):
        searcher.suggest(name)
    for _ in range(2):  # Tune asks again where it believes that the trial did not end
        searcher.on_trial_complete("a", GOOD)
        searcher.on_trial_result("a", epoch(1, 0.4))
    searcher.on_trial_complete("b", GOOD)
    first, second = journal(tmp_path / "j")
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
    cause = first.user_attrs["error"]
    assert cause.startswith("its result can't be used: can't read results/s/tables/steps/t0-a1")
    assert searcher.spoilt == notes.spoiled == {"t0": cause}
    assert trial_of(searcher.suggest("c")).trial_id == "t2"


def test_where_nothing_can_be_drawn_the_others_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    searcher.suggest("a")

    def broken(*_: Any) -> None:
        raise RuntimeError("the sampler's matrix is singular")

    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_independent", broken)
    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_relative", broken)
    assert is_finished(searcher.suggest("b"))
    assert "singular" in str(searcher.gave_up)
    searcher.on_trial_complete("a", GOOD)
    assert states(tmp_path / "j")[0] == "COMPLETE"


def test_a_search_does_not_depend_on_its_journals_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    searcher = make(SEARCH, tmp_path / "j")

    def full(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(JournalFileBackend, "append_logs", full)
        for name in ("a", "b"):
            searcher.suggest(name)
        searcher.on_trial_complete("a", GOOD)
    assert capsys.readouterr().err.count("No space left on device") == 1
    searcher.on_trial_complete("b", GOOD)
    assert states(tmp_path / "j") == ["COMPLETE"] * 2, "with room made, nothing is missing"
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_a_journal_that_was_not_told_of_an_end_is_corrected(tmp_path: Path) -> None:
    searcher = make(SEARCH, tmp_path / "j")
    trial = trial_of(searcher.suggest("a"))
    assert states(tmp_path / "j") == ["RUNNING"], "killed after the trial's last row"
    past = [gone(0, trial.changes, seed=trial.seed, values=REACHED)]
    correct(SEARCH, "s", tmp_path / "j", past)
    assert [t.values for t in journal(tmp_path / "j")] == [[0.7, 4.0]]
    written = (tmp_path / "j").stat()
    correct(SEARCH, "s", tmp_path / "j", past)
    assert (tmp_path / "j").stat().st_ino == written.st_ino, "what is right is left alone"
    (tmp_path / "j").write_text("garbage")
    correct(SEARCH, "s", tmp_path / "j", past)
    assert states(tmp_path / "j") == ["COMPLETE"]


@dataclass(frozen=True)
class Speeding(Config):
    speed: float = 0.5
