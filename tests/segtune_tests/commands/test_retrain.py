"""`segtune verify --retrain`: what it trains, and what it says of scores that are not equal."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.studies.known_study import write_study

from segcore.config import TrainConfig
from segcore.train import train
from segcore.training.runtime import Runtime
from segtune import Ablation, apply
from segtune.cli import main
from segtune.commands.bundling.bundle import make
from segtune.commands.bundling.retrain import Again, compare
from segtune.execution.training.recorder import Recorder
from segtune.results import study_file, tables
from segtune.results.provenance import find_origin
from segtune.results.storage import Place
from segtune.study import definition

DICE = (0.70, 0.71, 0.69, 0.70)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("results")
    write_study(storage, {"base": DICE, "up": DICE[:2]})
    return storage


@pytest.fixture(scope="module")
def bundle(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "known.zip"
    make(Place.of(recorded), "known", out)
    return out


@pytest.fixture
def again(recorded: Path, tmp_path: Path) -> Callable[..., Again]:
    """Compare a trial with the same whose test scores are moved, or whose row is another."""

    def again(trial_id: str, moved: float = 0.0, **row: Any) -> Again:
        into = tmp_path / "again"
        trials, rows = (
            tables.read(recorded, "known", table, trial_id=trial_id).to_pylist()
            for table in ("trials", "scores")
        )
        (own,) = trials
        scores = [s | {"value": s["value"] + moved * (s["split"] == "test")} for s in rows]
        tables.write(into, "known", "trials", [own | row])
        tables.write(into, "known", "scores", scores)
        return compare(recorded, "known", own, into)

    return again


def test_equal_scores(again: Callable[..., Again]) -> None:
    found = again("base-s0")
    assert (found.word, found.holds) == ("equal", True)
    assert found.again == found.recorded
    assert found.why == "all 7 scores of all epochs, digit for digit"


def test_scores_within_and_beyond_what_seeds_change(again: Callable[..., Again]) -> None:
    near = again("base-s0", 0.03)
    # Three other seeds with sd 0.01 or so: 4.30 * 0.01 * sqrt(2).
    assert near.bound == pytest.approx(0.0608, rel=0.1)
    assert (near.word, near.holds) == ("within", True)
    assert "1 of 7 scores differ" in near.why
    far = again("base-s0", -0.08)
    assert (far.word, far.holds) == ("beyond", False)


def test_what_cannot_be_judged(again: Callable[..., Again]) -> None:
    assert again("up-s0", 0.001).word == "unknown"
    undefined = again("base-s0", float("nan"))
    assert undefined.word == "unknown"
    assert "not defined in both" in undefined.why
    elsewhere = again("base-s0", data_hash="e" * 40)
    assert (elsewhere.word, elsewhere.holds) == ("unlike", False)
    assert "other data" in elsewhere.why


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--retrain", "7"], "give 1 to 6"),
        (["--retrain", "0"], "give 1 to 6"),
        (["--seed", "1", "--set", "data.root=x"], "--seed, --set: only with --retrain"),
        (["--retrain", "1", "--seed", "1"], "can't be configured"),
    ],
)
def test_what_is_refused(
    options: Sequence[str], told: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle), *options]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_missing_torch_is_one_message(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "segtune.commands.bundling.retrain")
    assert main(["verify", str(bundle), "--retrain", "1"]) == 2
    assert "needs torch, which is not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_trials_are_trained_again(
    tiny: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    study = Ablation(
        question="Is it the same again?",
        baseline=apply(tiny, {"method": "frozen"}),
        arms={"lora": {"method": "lora"}},
        seeds=(0,),
    )
    study_file.write(tmp_path, "tiny", definition.define("tiny", study))
    for trial in study.trials({}):
        recorder = Recorder(tmp_path, "tiny", trial, find_origin(), 1)
        recorder.start()
        for evaluation in train(trial.config, Runtime()):
            recorder.add(evaluation)
    bundle = tmp_path / "tiny.zip"
    make(Place.of(tmp_path), "tiny", bundle)
    assert main(["verify", str(bundle), "--retrain", "2", "--seed", "3", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert {one["word"] for one in found["retrained"]} == {"equal"}
    assert len({one["trial_id"] for one in found["retrained"]}) == 2
    assert "trials chosen with --seed 3" in said.err

    # A score that is somebody's wish, bundled as if it were measured: hashes and claims hold.
    trial_id = found["retrained"][0]["trial_id"]
    rows = tables.read(tmp_path, "tiny", "scores", trial_id=trial_id).to_pylist()
    for row in rows:
        row["value"] += 0.1 * (row["split"] == "test")
    tables.write(tmp_path, "tiny", "scores", rows)
    make(Place.of(tmp_path), "tiny", bundle)
    assert main(["verify", str(bundle)]) == 0
    assert main(["verify", str(bundle), "--retrain", "2"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert f"trained again: {trial_id}: unknown" in told
