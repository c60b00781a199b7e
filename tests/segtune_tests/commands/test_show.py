"""What a study would run and cost, told before it runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from optuna.distributions import IntDistribution

from segcore.config import TrainConfig
from segcore.data.frames import Scan
from segcore.data.scenes.rendered import RenderedConfig
from segtune.cli import main
from segtune.execution.estimate import measured, size
from segtune.results import study_file, tables
from segtune.study import definition
from segtune.study.overrides import apply
from segtune.study.spec import Ablation, Search

FILE = """
from dataclasses import replace

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune.study.overrides import apply
from segtune.study.spec import Ablation

def study():
    tiny = replace(
        nano(),
        data=SyntheticLiver(train=6, val=2, test=2),
        schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
    )
    return Ablation(
        question="?",
        baseline=apply(tiny, {"method": "frozen"}),
        arms={"long": {"schedule.epochs": 4}, "lora": {"method": "lora"}},
        seeds=(0, 1),
    )
"""


def study(tiny: TrainConfig) -> Ablation:
    return Ablation(
        question="?",
        baseline=apply(tiny, {"method": "frozen"}),
        arms={"long": {"schedule.epochs": 4}},
        seeds=(0, 1),
    )


def test_a_training_is_counted_as_it_is_built(tiny: TrainConfig) -> None:
    before = torch.random.get_rng_state()
    dataset, _ = tiny.open_sets()
    frozen, full = (size(apply(tiny, {"method": m}), dataset) for m in ("frozen", "full"))
    freed = {"method": "srft_galore", "method.refresh_from": "previous"}
    projected = size(apply(tiny, freed), dataset)
    assert torch.equal(before, torch.random.get_rng_state())
    assert frozen.trainable < frozen.total == full.total == full.trainable
    assert (frozen.epochs, frozen.steps) == (2, 4), "6 images in batches of 4, twice"
    assert full.least_memory == 8 * full.total
    assert full.checkpoint == 16 * full.total
    assert (full.sent, full.sends_projections) == (4 * full.total + 4, False), "the loss too"
    assert projected.sends_projections
    assert projected.sent < 2 * projected.trainable


def write(storage: Path, trial_id: str, epochs: int, seconds: float, status: str) -> None:
    """A trial that did so many epochs of so many seconds."""
    key = {"trial_id": trial_id, "attempt": 1}
    started = datetime.now(UTC) - timedelta(seconds=epochs * seconds)
    tables.write(storage, "mine", "steps", [
        {**key, "step": e, "epoch": e, "peak_memory_bytes": 10**9 + epochs}
        for e in range(1, epochs + 1)
    ])  # fmt: skip
    tables.write(storage, "mine", "scores", [{**key, "epoch": epochs, "split": "val"}])
    ended = datetime.now(UTC) if status == "finished" else None
    row = {"arm": trial_id.partition("-")[0], "status": status, "started": started}
    tables.write(storage, "mine", "trials", [{**key, **row, "ended": ended, "epochs": 2}])


def test_time_is_that_of_the_trials_that_ran(tiny: TrainConfig, tmp_path: Path) -> None:
    mine = study(tiny)
    assert measured(mine, "mine", tmp_path) is None
    study_file.write(tmp_path, "mine", definition.define("mine", mine))
    assert measured(mine, "mine", tmp_path) is None, "no trial has run"
    write(tmp_path, "baseline-s0", 2, 10, "finished")
    found = measured(mine, "mine", tmp_path)
    assert found is not None
    assert (found.trials, found.left, found.memory) == (1, 3, 10**9 + 2)
    assert found.seconds == pytest.approx((2 + 4 + 4) * 10, rel=0.01), "all at the baseline's pace"
    write(tmp_path, "long-s0", 4, 20, "finished")
    found = measured(mine, "mine", tmp_path)
    assert found is not None
    assert (found.left, found.memory) == (2, 10**9 + 4)
    assert found.seconds == pytest.approx(2 * 10 + 4 * 20, rel=0.01), "each at its arm's"


def test_a_searchs_trials_are_counted_with_its_finalists(tiny: TrainConfig) -> None:
    from segtune.execution.estimate import trials

    search = Search(
        question="?",
        baseline=replace(tiny),
        space={"method.rank": IntDistribution(2, 4)},
        num_samples=5,
        finalists=2,
        finalist_seeds=(7, 8, 9),
    )
    assert len(list(trials(search))) == 5 + 2 * 3


def test_show_names_changes_counts_and_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    Path("mine.py").write_text(FILE)
    assert main(["show", "mine.py", "--set", "data.root=rendered"]) == 0
    assert main(["show", "mine.py"]) == 0
    shown = capsys.readouterr().out
    for told in (
        "3 arms x 2 seeds = 6 trials",
        "schedule.epochs = 4",
        "2 to 4 epochs, 4 to 8 steps a trial",
        "checkpoint for each of 6 trials",
        "not known until a trial has run",
        "with --workers 2 or more, each hands over ",
        " MB of gradients a step",
    ):
        assert told in shown
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["mine.py"]


@pytest.mark.parametrize("words", [[], ["--json"], ["--set", "data.root=mine.py"]])
def test_a_data_set_is_read_once_for_all_arms(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether it is in order or not: it may be thousands of files."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)
    read: list[RenderedConfig] = []
    scan = RenderedConfig.scan

    def counted(self: RenderedConfig) -> Scan:
        read.append(self)
        return scan(self)

    monkeypatch.setattr(RenderedConfig, "scan", counted)
    assert main(["show", "mine.py", *words]) == 0
    assert ("mine.py exists" in capsys.readouterr().out) == ("data.root=mine.py" in words)
    assert len(read) == 1


def test_show_of_a_study_without_its_data_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", "srft_vs_svd"]) == 0
    shown = capsys.readouterr().out
    assert f"not counted: {tmp_path / 'data' / 'L3D'}: no such folder" in shown
    assert shown.count("no such folder") == 1
    assert "4 arms x 3 seeds = 12 trials" in shown


def test_show_says_what_the_data_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folded = FILE.replace("seeds=(0, 1),", "seeds=(0, 1), folds=20,")
    selecting = ["--set", "evaluation.select_on=('dice', 'rigde', 'per_image')"]
    for text, words, fault in (
        (folded, [], "`segtune run` refuses: fold: train and val have 3 patients, too few for 20"),
        (FILE, selecting, "`segtune run` refuses: evaluation.select_on: there is no class 'rigde'"),
        (FILE, ["--set", "fold=(0, 20)"], "not counted: fold: train and val have 3 patients"),
    ):
        Path("mine.py").write_text(text)
        assert main(["show", "mine.py", *words]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert shown.count(fault) == 1
        assert ("refuses" in shown) == ("refuses" in fault)
