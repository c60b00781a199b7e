"""A search that stops trials early, on a local Ray cluster of two CPUs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.ray_head import head_node

from segtune.cli import main
from segtune.results import study_file, tables
from segtune.search import finalists
from segtune.search.journal import rebuild
from segtune.search.trial_history import read_past
from segtune.study import catalog, definition
from segtune.study.spec import Search

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
TRIALS, EPOCHS = 12, 4
STUDY = f"""
from dataclasses import replace

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune.study.overrides import apply
from segtune.study.space import When
from segtune.study.spec import AtMost, Objective, Search
from segtune.study.stopping import Asha


def study():
    return Search(
        question="Does it stop what is worse?",
        baseline=apply(
            replace(
                nano(),
                data=SyntheticLiver(train=8, val=4, test=4, root="scenes"),
                schedule=Schedule(epochs={EPOCHS}, batch_size=4, warmup_steps=1),
            ),
            {{
                "method": "frozen",
                "system.fusion.mode": "rgb_only",
                "system.image_size": 64,
                "optim.lr": 1e-5,
            }},
        ),
        space={{
            "method": CategoricalDistribution(("frozen", "srft_galore")),
            "optim.lr": FloatDistribution(1e-5, 3e-3, log=True),
            "method.rank": When("method", ("srft_galore",), IntDistribution(2, 16, log=True)),
        }},
        num_samples={TRIALS},
        objectives=(Objective("dice", "maximize"),),
        constraints=(AtMost("optimizer_state_bytes", 1e12),),
        scheduler=Asha(reduction_factor=2),
        finalists=1,
        finalist_seeds=(100,),
    )
"""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A head with two CPUs and a dashboard, without which Ray frees no stopped team's group."""
    with head_node({"RAY_AUTH_MODE": "disabled"}) as head:
        monkeypatch.setenv("RAY_ADDRESS", head.gcs)
        try:
            yield head.gcs
        finally:
            ray.shutdown()


def rows(storage: Path, name: tables.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(storage, "mine", name).to_pylist()
    return found


def test_twelve_trials_end_by_themselves_and_leave_nothing(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(STUDY)
    storage = tmp_path / "results"
    assert main(["run", "mine.py", "--storage", str(storage)]) == 0
    _assert_no_group_is_left(address)
    trials = {r["trial_id"]: r for r in rows(storage, "trials")}
    searched = {name: r for name, r in trials.items() if r["role"] == "search"}
    assert len(searched) == TRIALS
    assert {r["status"] for r in searched.values()} == {"finished", "pruned"}
    _assert_epochs_are_seen(storage, searched)
    _assert_optuna_agrees(storage, searched)
    _assert_the_finalist_was_tested(storage, trials)
    for name in trials:
        assert len(list((storage / "mine/train" / name).glob("epoch-*"))) <= 1

    before = rows(storage, "trials")
    assert main(["run", "mine.py", "--storage", str(storage)]) == 0, "nothing to do"
    assert rows(storage, "trials") == before
    assert main(["run", "mine.py", "--storage", str(storage), "--num-samples", "+2"]) == 0
    grown = [r for r in rows(storage, "trials") if r["role"] == "search"]
    assert len(grown) == TRIALS + 2
    assert [r for r in grown if r["number"] < TRIALS] == list(searched.values())
    assert study_file.read(storage, "mine")["num_samples"] == TRIALS + 2  # type: ignore[index]
    _assert_no_group_is_left(address)


def test_stopped_teams_give_their_cpus_back(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the head has no dashboard they do not, and the next trial waits for ever."""
    monkeypatch.chdir(tmp_path)
    trials = 4
    text = STUDY.replace(f"num_samples={TRIALS}", f"num_samples={trials}")
    text = text.replace("finalists=1", "finalists=0").replace("(100,)", "()")
    Path("mine.py").write_text(text)
    storage = tmp_path / "results"
    assert main(["run", "mine.py", "--storage", str(storage), "--workers", "2"]) == 0
    _assert_no_group_is_left(address)
    searched = {r["trial_id"]: r for r in rows(storage, "trials")}
    assert [r["status"] for r in searched.values()].count("pruned") >= 1
    _assert_epochs_are_seen(storage, searched)
    _assert_optuna_agrees(storage, searched)


def _assert_no_group_is_left(address: str) -> None:
    ray.init(address=address, log_to_driver=False)
    states = {g["state"] for g in ray.util.placement_group_table().values()}
    free = ray.available_resources().get("CPU")
    ray.shutdown()
    assert states <= {"REMOVED"}
    assert free == 2


def _assert_epochs_are_seen(storage: Path, trials: dict[str, dict[str, Any]]) -> None:
    steps = rows(storage, "steps")
    for name, row in trials.items():
        done = max(s["epoch"] for s in steps if s["trial_id"] == name)
        stopped = row["stopped_epoch"]
        assert (stopped is None) == (row["status"] == "finished")
        assert stopped is None or stopped < EPOCHS, "nobody is stopped at the end"
        assert done == EPOCHS if stopped is None else done >= stopped


def _assert_optuna_agrees(storage: Path, trials: dict[str, dict[str, Any]]) -> None:
    backend = JournalFileBackend(str(storage / "mine/optuna.journal"))
    live = optuna.load_study(study_name="mine", storage=JournalStorage(backend)).trials
    state_of = {"finished": "COMPLETE", "pruned": "PRUNED"}
    ordered = sorted(trials.values(), key=lambda r: int(r["number"]))
    assert [t.state.name for t in live] == [state_of[r["status"]] for r in ordered]
    assert [t.params for t in live] == [json.loads(r["changes"]) for r in ordered]
    search = catalog.find("mine.py").study
    assert isinstance(search, Search)
    again = rebuild(search, "mine", storage / "again", read_past(search, storage, "mine")).trials
    for before, now in zip(live, again, strict=True):
        assert before.state == now.state
        assert before.values == now.values
        assert before.user_attrs == now.user_attrs
        assert before.constraints == now.constraints
        assert before.intermediate_values == now.intermediate_values
        assert before.intermediate_values


def _assert_the_finalist_was_tested(storage: Path, trials: dict[str, dict[str, Any]]) -> None:
    search = catalog.find("mine.py").study
    assert isinstance(search, Search)
    best, *_ = finalists.ranked(search, read_past(search, storage, "mine"))
    (finalist,) = (r for r in trials.values() if r["role"] == "finalist")
    assert finalist["trial_id"] == f"{best.trial_id}-s100"
    assert finalist["changes"] == trials[best.trial_id]["changes"]
    assert (study_file.read(storage, "mine") or {})[definition.CHOSEN] == [best.number]
    tested = {r["trial_id"] for r in rows(storage, "scores") if r["split"] == "test"}
    assert tested == {finalist["trial_id"]}
