"""Where Tune takes its trials from, without a cluster."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray.tune.search import Searcher

from segtune.search import Listed, OptunaSearcher
from segtune.spec import Ablation, Search, Trial


@dataclass(frozen=True)
class Config:
    rank: int = 8
    seed: int = 0


SEARCH = Search(
    question="?", baseline=Config(), space={"rank": IntDistribution(1, 64)}, num_samples=5
)
GOOD = {"best_dice": 0.8, "best_assd": 3.0}


def is_finished(suggestion: object) -> bool:
    return suggestion == Searcher.FINISHED


def trial_of(suggestion: Mapping[str, Any] | None) -> Trial:
    assert suggestion is not None
    assert not is_finished(suggestion)
    trial: Trial = suggestion["trial"]
    return trial


def row(number: int, changes: Mapping[str, Any], *, seed: int = 0, **more: Any) -> dict[str, Any]:
    text = json.dumps(changes, sort_keys=True)
    return {"trial_id": f"t{number}", "number": number, "changes": text, "seed": seed, **more}


def journal(path: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="s", storage=storage).trials


def test_a_list_is_handed_out_in_order_and_ends() -> None:
    arms = {"a": {"rank": 1}}
    trials = list(Ablation(question="?", baseline=Config(), arms=arms, seeds=(0, 1)).trials({}))
    listed = Listed(trials)
    assert [trial_of(listed.suggest(str(i))) for i in range(4)] == trials
    assert is_finished(listed.suggest("more"))


def test_the_baseline_is_the_first_trial_and_the_last_is_the_last(tmp_path: Path) -> None:
    searcher = OptunaSearcher(SEARCH, "s", tmp_path / "j", [])
    trials = []
    for i in range(5):
        trials.append(trial_of(searcher.suggest(str(i))))
        searcher.on_trial_complete(str(i), GOOD)
    assert trials[0].changes == {"rank": 8}
    assert [t.trial_id for t in trials] == ["t0", "t1", "t2", "t3", "t4"]
    assert [t.config.rank for t in trials] == [t.changes["rank"] for t in trials]
    assert is_finished(searcher.suggest("more"))
    told = journal(tmp_path / "j")
    assert [t.values for t in told] == [[0.8, 3.0]] * 5
    assert [t.params for t in told] == [t.changes for t in trials]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"best_dice": math.nan, "best_assd": 1.0}, False),
        ({"best_dice": 0.5}, False),
        (None, False),
        (GOOD, True),
    ],
)
def test_what_has_no_values_has_failed(
    tmp_path: Path, result: dict[str, Any] | None, error: bool
) -> None:
    searcher = OptunaSearcher(SEARCH, "s", tmp_path / "j", [])
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error)
    (told,) = journal(tmp_path / "j")
    assert told.state.name == "FAIL"


def test_a_search_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done: dict[str, Any] = {"objectives": {"dice": 0.7, "assd": 4.0}}
    rows = [row(0, {"rank": 8}, **done), row(1, {"rank": 5}, seed=2), row(3, {"rank": 9}, **done)]
    searcher = OptunaSearcher(SEARCH, "s", tmp_path / "j", rows)
    states = [t.state.name for t in journal(tmp_path / "j")]
    assert states == ["COMPLETE", "RUNNING", "FAIL", "COMPLETE"], "t2 died before it wrote a row"
    again = trial_of(searcher.suggest("a"))
    assert (again.trial_id, again.changes, again.seed) == ("t1", {"rank": 5}, 2)
    assert trial_of(searcher.suggest("b")).trial_id == "t4"
    searcher.on_trial_complete("a", GOOD)
    assert journal(tmp_path / "j")[1].values == [0.8, 3.0]
    assert trial_of(searcher.suggest("c")).trial_id == "t5", "in the place of t2"
    assert is_finished(searcher.suggest("d"))


def test_a_lost_baseline_is_asked_for_again(tmp_path: Path) -> None:
    rows = [row(1, {"rank": 5}, objectives={"dice": 0.7, "assd": 4.0})]
    searcher = OptunaSearcher(replace(SEARCH, num_samples=2), "s", tmp_path / "j", rows)
    assert trial_of(searcher.suggest("a")).changes == {"rank": 8}
    assert is_finished(searcher.suggest("b"))


def test_a_search_of_one_trial_runs_it(tmp_path: Path) -> None:
    searcher = OptunaSearcher(replace(SEARCH, num_samples=1), "s", tmp_path / "j", [])
    assert trial_of(searcher.suggest("a")).changes == {"rank": 8}
    assert is_finished(searcher.suggest("b"))


def test_another_launch_draws_other_configurations(tmp_path: Path) -> None:
    wide = {"rank": IntDistribution(1, 10**6)}
    search = replace(SEARCH, sampler="RandomSampler", space=wide)
    first = OptunaSearcher(search, "s", tmp_path / "a", [])
    drawn = [trial_of(first.suggest(str(i))).changes for i in range(3)]
    rows = [row(i, c, objectives={"dice": 0.5, "assd": 1.0}) for i, c in enumerate(drawn)]
    second = OptunaSearcher(search, "s", tmp_path / "b", rows)
    assert trial_of(second.suggest("x")).changes not in drawn


def test_a_configuration_drawn_again_gets_another_seed(tmp_path: Path) -> None:
    only = replace(SEARCH, space={"rank": CategoricalDistribution((8,))}, num_samples=3)
    searcher = OptunaSearcher(only, "s", tmp_path / "j", [])
    assert [trial_of(searcher.suggest(str(i))).seed for i in range(3)] == [0, 1, 2]
    told = journal(tmp_path / "j")
    assert [t.user_attrs["seed"] for t in told] == [0, 1, 2]
