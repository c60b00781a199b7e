"""`segtune evaluate`: the digits of training's own test, other data and sizes, masks."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.untrained import save

from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.metrics.table import OF_IMAGES, OF_UNCERTAINTY
from segcore.presets import imedsam_nano, nano
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import Evaluation, Score
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply
from segtune.cli import main
from segtune.execution.training.recorder import Recorder
from segtune.results import read
from segtune.results.provenance import Origin
from segtune.study.trial import Trial

SIDE = 64
HERE = SyntheticPolyps(train=5, val=5, test=5, size=96)
THERE = SyntheticPolyps(train=5, val=5, test=5, size=96, domain="b")
COUNTS = [word for n in ("train", "val", "test") for word in ("--set", f"data.{n}=5")]
OTHER_DATA = ["--data", "synthetic_polyps", "--set", "data.size=96", "--set", "data.domain=b"]
OTHER_DATA += COUNTS


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
            "evaluation": EvaluationConfig(
                external=THERE,
                resolutions=(32, (48, 80)),
                # Of masks alone rounding would show in no digit.
                metrics=(*OF_IMAGES, "mae.probabilities", "e_measure.max", *OF_UNCERTAINTY),
            ),
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


def test_done_again_its_rows_are_replaced_and_those_of_other_metrics_stay(study: Study) -> None:
    size = ["--resolutions", "40"]
    for metrics in (["dice.per_image", "iou.per_image"], ["dice.per_image", "hd.empty_100"]):
        assert main(["evaluate", study.trial, *size, "--metrics", *metrics]) == 0
    rows = [r for r in kept(study) if r["resolution"] == "40x40"]
    keys = [(r["metric"], r["protocol"], r["class_name"]) for r in rows]
    assert len(set(keys)) == len(keys)
    assert {k[:2] for k in keys} == {
        ("dice", "per_image"),
        ("iou", "per_image"),
        ("hd", "empty_100"),
    }
    assert len({r["evaluation"] for r in rows}) == 1
    images = read(study.storage, "polyps", "evaluated_images").to_pylist()
    of_dice = [i for i in images if (i["resolution"], i["metric"]) == ("40x40", "dice")]
    assert len(of_dice) == 5 * 2  # of the class and pooled


def test_of_another_network_under_the_same_name_nothing_of_before_stays(study: Study) -> None:
    common = ["evaluate", study.trial, "--resolutions", "52", "--metrics"]
    assert main([*common, "iou.per_image"]) == 0
    best = next(Path(study.trial).rglob("best.safetensors"))
    before = best.read_bytes()
    try:
        tensors = {name: x + 0.01 for name, x in load_file(best).items()}
        save_file(tensors, best)
        assert main([*common, "dice.per_image"]) == 0
    finally:
        best.write_bytes(before)
    rows = [r for r in kept(study) if r["resolution"] == "52x52"]
    assert {r["metric"] for r in rows} == {"dice"}


def test_what_is_told_and_seen_otherwise_is_an_evaluation_of_its_own(study: Study) -> None:
    common = ["evaluate", study.trial, "--resolutions", "44", "--metrics", "dice.per_image"]
    flips = "tta.flips=('horizontal',)"
    for changes in ([], ["--set", flips], ["--set", "prompts.source=truth"], ["--split", "val"]):
        assert main([*common, *changes]) == 0
    rows = read(study.storage, "polyps", "evaluations").to_pylist()
    macro = [r for r in rows if (r["resolution"], r["class_name"]) == ("44x44", "macro")]
    assert len(macro) == len({r["evaluation"] for r in macro}) == 4
    assert len({r["value"] for r in macro}) >= 3  # of boxes an untrained network makes little
    assert sorted(r["prompts"] for r in macro) == ["jittered"] * 3 + ["truth"]
    assert {r["split"] for r in macro} == {"test", "val"}


def test_json_is_all_that_is_printed(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", study.trial, "--metrics", "dice.per_image", "--resolutions", "36"]
    assert main([*command, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    (row,) = [r for r in kept(study) if (r["resolution"], r["class_name"]) == ("36x36", "macro")]
    assert found["evaluation"] == row["evaluation"]
    (macro,) = [s for s in found["scores"] if s["class"] == "macro"]
    assert (macro["value"], macro["n"]) == (row["value"], 5)
    assert macro["patients_low"] is None, "five images of one patient"
    assert found["resolution"] == "36x36"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ([], ["give checkpoints, or --predictions DIR"]),
        (["TRIAL", "--as", "mine"], ["give --study and --as together"]),
        (
            ["TRIAL", "--data", "nowhere", "--resolutions", "8", "wide", "--metrics", "beauty"],
            [
                "unknown data set 'nowhere': choose one of",
                "--resolutions 8: give sides of 16 to 8192",
                "--resolutions wide",
                "there is no beauty: choose of",
            ],
        ),
        (["TRIAL", "--resolutions", "64", "64x64"], ["each must stand once"]),
        (["TRIAL", "--data", "kvasir_sessile"], ["say --set data.root=..."]),
        (["TRIAL", "--set", "data.colour=3"], ["unknown field data.colour"]),
        (["TRIAL", "--set", "optim.lr=3"], ["--set optim.lr: choose of data.FIELD"]),
        (["TRIAL", "--set", "prompts.source=guess"], ["prompts.source = 'guess'"]),
        (
            ["TRIAL", "--data", "synthetic_aerial", *COUNTS, "--set", "data.size=64"],
            ["has the classes salient; the network was trained on polyp: give"],
        ),
        (["NOWHERE"], ["no checkpoint at"]),
        (
            ["--predictions", "NOWHERE", "--set", "tta.overlap=0.1", "--device", "cpu"],
            ["say with --data NAME", "--device has no effect on masks"],
        ),
        (
            ["--predictions", "NOWHERE", *OTHER_DATA, "--set", "tta.overlap=0.1"]
            + ["--metrics", "mae.probabilities", "--values", "polyp=what"],
            ["tta.overlap has no effect", "do not do for mae.probabilities", "classes: cannot use"],
        ),
        (["--predictions", "NOWHERE", *OTHER_DATA], ["no such folder"]),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    study: Study,
    words: list[str],
    messages: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    there = {"TRIAL": study.trial, "NOWHERE": str(tmp_path / "nowhere")}
    before = study.tables()
    assert main(["evaluate", *(there.get(word, word) for word in words)]) == 2
    told = capsys.readouterr().err
    for message in messages:
        assert message in told
    assert study.tables() == before


def test_masks_of_predict_score_as_the_checkpoint_does(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a set without boxes, which `predict` would have to be told; at each image's own size."""
    folder = tmp_path / "polyps"
    dataset = THERE.open()
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for sample_id in dataset.ids("test"):
        sample = dataset.load("test", sample_id, None)
        Image.fromarray(sample.image_HW3).save(folder / "images" / f"{sample_id}.png")
        Image.fromarray(sample.labels_HW * 255).save(folder / "masks" / f"{sample_id}.png")
    trained = apply(nano(), {"system": "hiera_unet", "data": HERE})
    checkpoint = save(trained, dataset.classes, tmp_path / "checkpoint")
    data = ["--data", "folder", "--set", f"data.root={folder}", "--set", "data.fractions=(0, 0, 1)"]
    data += ["--set", "data.classes=('polyp=255',)"]
    out = str(tmp_path / "out")
    predicted = ["predict", str(checkpoint), str(folder / "images"), "--out", out]
    assert main([*predicted, "--write", "masks"]) == 0
    masks = ["--predictions", f"{out}/masks", "--metrics", *OF_IMAGES]
    capsys.readouterr()
    assert main(["evaluate", *masks, *data, "--json"]) == 0
    of_masks = json.loads(capsys.readouterr().out)[0]["scores"]
    command = ["evaluate", str(checkpoint), *data, "--json", "--resolutions", "image"]
    assert main([*command, "--metrics", *OF_IMAGES]) == 0
    of_network = json.loads(capsys.readouterr().out)[0]["scores"]
    assert of_masks == of_network
    dice = next(s for s in of_masks if (s["metric"], s["class"]) == ("dice", "macro"))
    assert 0 < dice["value"] < 1
    assert dice["patients_low"] is None


def test_masks_stand_in_a_study_under_a_name_of_their_own(study: Study, tmp_path: Path) -> None:
    dataset = HERE.open()
    data = ["--data", "synthetic_polyps", "--set", "data.size=96", *COUNTS]
    for sample_id in dataset.ids("test"):
        truth = dataset.load("test", sample_id, None).labels_HW
        Image.fromarray(truth * 255).save(tmp_path / f"{sample_id}.png")
    command = ["evaluate", "--predictions", str(tmp_path), *data, "--values", "polyp=255"]
    command += ["--storage", str(study.storage), "--study", "polyps"]
    command += ["--resolutions", "image", "40x56"]
    for seed in ("0", "1", "1"):
        assert main([*command, "--as", "nnunet", "--seed", seed]) == 0
    rows = [r for r in kept(study) if r["arm"] == "nnunet"]
    perfect = {"dice": 1.0, "iou": 1.0, "nsd": 1.0, "assd": 0.0, "hd": 0.0, "hd95": 0.0}
    found = {r["metric"]: {q["value"] for q in rows if q["metric"] == r["metric"]} for r in rows}
    assert {metric: found[metric] for metric in perfect} == {m: {v} for m, v in perfect.items()}
    assert len({r["evaluation"] for r in rows}) == 2 * 2  # two seeds, two sizes
    assert {(r["source"], r["trial_id"], r["prompts"]) for r in rows} == {
        ("predictions", None, None)
    }
    assert main([*command, "--as", "lora"]) == 2


def test_masks_that_cannot_be_scored_are_named_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = HERE.open().ids("test")
    data = ["--data", "synthetic_polyps", "--set", "data.size=96", *COUNTS]
    for sample_id in ids[:3]:
        Image.fromarray(np.zeros((96, 96), np.uint8)).save(tmp_path / f"{sample_id}.png")
    Image.fromarray(np.full((96, 95), 3, np.uint8)).save(tmp_path / f"{ids[0]}.png")
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(tmp_path / f"{ids[1]}.tif")
    (tmp_path / f"{ids[2]}.png").write_bytes(b"no picture")
    assert main(["evaluate", "--predictions", str(tmp_path), *data]) == 2
    assert f"two masks of one name: 1\n    {ids[1]}.png and {ids[1]}.tif" in (
        capsys.readouterr().err
    )
    (tmp_path / f"{ids[1]}.tif").unlink()
    (tmp_path / "plans.json").write_text("{}")
    assert main(["evaluate", "--predictions", str(tmp_path), *data]) == 2
    told = capsys.readouterr().err
    for message in (
        "mask of another size than its image: 1",
        f"{ids[0]}.png: 95x96, the image is 96x96",
        "label beyond 1 (of polyp; say with --values what values mean): 1",
        "unreadable mask: 1",
        f"nothing for images or volumes of test: 2\n    {ids[3]}\n    {ids[4]}",
        "its folder masks or volumes",
    ):
        assert message in told
