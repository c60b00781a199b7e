"""A study that brings its own rows of every table: on Ray, as a job, and predicted with."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.ray_head import BIN, OFF, Head, head_node

from segtune.cli import main
from segtune.results import tables

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FILE = Path(__file__).parents[1] / "support" / "studies" / "plugin_study.py"


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the checkout with the user's file in it."""
    folder = tmp_path_factory.mktemp("far") / "away"
    folder.mkdir()
    shutil.copy(FILE, folder / "mine.py")
    return folder


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with head_node(OFF) as started:
        yield started


@pytest.fixture(scope="module")
def results(away: Path) -> Path:
    """The study, run on a Ray of its own."""
    done = segtune(away, "run", "mine.py", "--storage", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error stopping trial" not in done.stderr, "a metric called error is no failure"
    assert "failed" not in done.stdout
    return away / "results"


def segtune(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which knows nothing of the user's file."""
    import os

    kept = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    return subprocess.run(
        [str(BIN / "segtune"), *words],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )


def rows(storage: Path, name: tables.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(storage, "mine", name).to_pylist()
    return found


def test_it_runs_on_ray_and_its_tables_say_what_was_scored(results: Path) -> None:
    trials = {r["trial_id"]: r for r in rows(results, "trials")}
    assert {t: r["status"] for t, r in trials.items()} == {
        "frozen-s0": "finished",
        "mix_only-s0": "finished",
    }
    config = json.loads(trials["mix_only-s0"]["config"])
    assert config["method"]["name"] == "mix_only"
    scores = rows(results, "scores")
    assert {s["prompts"] for s in scores} == {"jittered"}
    assert {s["resolution"] for s in scores} == {"image"}
    kinds = {(s["metric"], s["protocol"]): (s["direction"], s["unit"]) for s in scores}
    assert kinds["assd", "per_case_mm"] == ("minimize", "mm")
    assert kinds["error", "mean"] == ("minimize", "share")
    of_cases = [i for i in rows(results, "images") if i["protocol"] == "per_case"]
    assert {i["case_id"] for i in of_cases} == {"val0", "val1", "test0", "test1"}


def test_show_status_and_report_know_its_names(results: Path, away: Path) -> None:
    shown = segtune(away, "show", "mine.py")
    assert shown.returncode == 0, shown.stderr
    assert "mix_only" in shown.stdout
    status = segtune(away, "status", "mine", "--storage", "results")
    assert "mix_only-s0" in status.stdout
    assert "Dice" in status.stdout
    page = away / "report.html"
    done = segtune(away, "report", "mine", "--storage", "results", "--out", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for word in ("mix_only", "uncertainty of mix_only, seed 0", "4 test images of 2 patients"):
        assert word in text


def test_its_checkpoint_predicts_where_the_file_is_named(results: Path, away: Path) -> None:
    images = away / "images"
    images.mkdir()
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (50, 70, 3)).astype(np.uint8)
        Image.fromarray(noise).save(images / f"{i}.png")
    boxes = away / "boxes.json"
    boxes.write_text(json.dumps({"0.png": [10, 5, 60, 45]}))
    trial = str(results / "mine" / "train" / "mix_only-s0")
    refused = segtune(away, "predict", trial, "images", "--out", "none")
    assert refused.returncode == 2
    assert "system 'wide_net', which is not known here" in refused.stderr
    assert "--plugin FILE" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = segtune(away, "predict", trial, "images", "--plugin", "mine.py", "--boxes", "boxes.json")
    assert done.returncode == 0, done.stdout + done.stderr
    mask = np.asarray(Image.open(away / "predictions" / "masks" / "0.png"))
    assert mask.shape == (50, 70)
    grey = np.asarray(Image.open(away / "predictions" / "maps" / "0-uncertainty.png"))
    assert grey.shape == (32, 48)
    boxes.write_text(json.dumps({"2.png": [10, 5, 60, 45]}))
    wrong = segtune(
        away, "predict", trial, "images", "--plugin", "mine.py", "--boxes", "boxes.json"
    )
    assert wrong.returncode == 2
    assert "boxes of no image that was given: 1" in wrong.stderr


def test_it_runs_as_a_job_of_a_cluster(head: Head, away: Path, results: Path) -> None:
    storage = away / "of the job"
    done = segtune(
        away,
        "submit",
        "mine.py",
        "--storage",
        str(storage),
        "--python",
        sys.executable,
        "--address",
        head.address,
        **head.environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    here = {(s["trial_id"], s["step"]): s["loss"] for s in rows(results, "steps")}
    there = {(s["trial_id"], s["step"]): s["loss"] for s in rows(storage, "steps")}
    assert here == there


def test_two_workers_train_with_it(away: Path) -> None:
    done = segtune(
        away, "run", "mine.py", "--storage", "by two", "--workers", "2", "--name", "mine"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {r["status"] for r in rows(away / "by two", "trials")} == {"finished"}


def test_an_unregistered_class_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = re.sub(r"@METHODS\.register\(.*?^\)\n", "", FILE.read_text(), flags=re.DOTALL | re.M)
    (tmp_path / "mine.py").write_text(text)
    assert main(["run", str(tmp_path / "mine.py"), "--storage", str(tmp_path / "results")]) == 2
    assert "MixOnly is not registered" in capsys.readouterr().err
