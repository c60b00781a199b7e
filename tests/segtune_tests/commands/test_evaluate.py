"""`segtune evaluate`: the digits of a training's own test, on other data and sizes, and of masks."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.presets import imedsam_nano
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import Evaluation, Score
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply
from segtune.cli import main
from segtune.execution.recorder import Recorder
from segtune.results import read
from segtune.results.provenance import Origin
from segtune.study.spec import Trial

SIDE = 64
HERE = SyntheticPolyps(train=5, val=5, test=5, size=96)
THERE = SyntheticPolyps(train=5, val=5, test=5, size=96, domain="b")
OTHER_DATA = ["--data", "synthetic_polyps", "--set", "data.size=96", "--set", "data.domain=b"]
OTHER_DATA += [word for n in ("train", "val", "test") for word in ("--set", f"data.{n}=5")]


@dataclasses.dataclass(frozen=True)
class Study:
    """A study of one trial, trained in this process."""

    storage: Path
    final: Evaluation

    @property
    def trial(self) -> str:
        return str(self.storage / "polyps" / "train" / "lora-s0")

    def tables(self) -> Mapping[str, bytes]:
        files = (self.storage / "polyps" / "tables").rglob("*.parquet")
        return {str(f.relative_to(self.storage)): f.read_bytes() for f in files}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """LoRA on rendered polyps, tested on another hospital's and at three sizes too."""
    torch.set_num_threads(1)
    config: TrainConfig = apply(
        imedsam_nano(),
        {
            "data": HERE,
            "system.image_size": SIDE,
            "method": "lora",
            "prompts": PromptConfig(source="jittered"),
            "schedule": Schedule(epochs=1, batch_size=2, warmup_steps=1),
            "evaluation": EvaluationConfig(external=THERE, resolutions=(32, (48, 80))),
        },
    )
    storage = tmp_path_factory.mktemp("results")
    trial = Trial(trial_id="lora-s0", role="arm", arm="lora", seed=0, config=config, changes={})
    recorder = Recorder(storage, "polyps", trial, Origin("0" * 40, False, {}), workers=1)
    recorder.start()
    for evaluation in train(config, Runtime()):
        recorder.add(evaluation)
    folder = storage / "polyps" / "train" / "lora-s0" / "epoch-1"
    folder.mkdir(parents=True)
    evaluation.save(folder)
    return Study(storage, evaluation)


def of(scores: list[dict[str, Any]]) -> dict[tuple[str, ...], tuple[str, int]]:
    """Digits and count of every score by what it is of."""
    return {
        (s["resolution"], s["metric"], s["protocol"], s["class_name"]): (repr(s["value"]), s["n"])
        for s in scores
    }


def told(scores: tuple[Score, ...], split: str) -> dict[tuple[str, ...], tuple[str, int]]:
    return of([vars(s) for s in scores if s.split == split])


def kept(study: Study, split: str = "test") -> list[dict[str, Any]]:
    rows = read(study.storage, "polyps", "evaluations").to_pylist()
    return [r for r in rows if r["split"] == split]


def test_on_its_own_data_it_has_the_digits_of_the_trainings_own_test(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    before = study.tables()
    assert main(["evaluate", study.trial]) == 0
    shown = capsys.readouterr().out
    assert "lora-s0 on synthetic_polyps, test, masks of 64x64" in shown
    wanted = {k: v for k, v in told(study.final.scores, "test").items() if k[0] == "64x64"}
    rows = [r for r in kept(study) if json.loads(r["settings"]).get("data.domain") is None]
    assert of(rows) == wanted
    assert len(wanted) > 20
    after = study.tables()
    assert {name: after[name] for name in before} == before
    assert {(r["arm"], r["seed"], r["trial_id"], r["prompts"]) for r in rows} == {
        ("lora", 0, "lora-s0", "jittered")
    }


def test_on_another_domain_at_three_sizes_it_says_what_training_said(study: Study) -> None:
    sizes = ["--resolutions", "64", "32", "48x80"]
    assert main(["evaluate", study.trial, *OTHER_DATA, *sizes]) == 0
    rows = [r for r in kept(study) if json.loads(r["settings"]).get("data.domain") == "b"]
    assert of(rows) == told(study.final.scores, "external")
    assert {r["resolution"] for r in rows} == {"64x64", "32x32", "48x80"}
