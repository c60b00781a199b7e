"""Studies in which patients weigh alike: scores, differences and what the report says of them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.report_values import scores
from support.studies.known_study import STEADY, write_study

from segtune.report import build
from segtune.report.evidence.across.same import UnlikeError, across
from segtune.report.evidence.differences.compare import compare
from segtune.report.evidence.objections.influence import alike
from segtune.report.evidence.patients import by_patient, macro_difference
from segtune.report.evidence.summary import score_summary
from segtune.report.together import unfair
from segtune.results import tables
from segtune.results.images import ImageScores
from segtune.results.patient_means import patients_alike
from segtune.results.study_rows import MACRO, load

ALIKE = {"weights": "patients"}
OWNER = ("a",) * 17 + ("b",) * 3 + ("c", "c", "d", "e")
"""Of each of the 24 images."""


def unequal(storage: Path, study: str = "known", **options: Any) -> None:
    """Five patients, of whom one has most of the images, and is the only one who gains."""
    per_patient = {"up": [0.0] * 8}
    write_study(storage, STEADY, study=study, per_patient=per_patient, **options)
    images = tables.read(storage, study, "images").to_pylist()
    for trial in {str(row["trial_id"]) for row in images}:
        own = [row for row in images if row["trial_id"] == trial]
        tables.write(storage, study, "images", [
            {**row, "patient_id": owner,
             "value": row["value"] - 0.04 * (owner != "a" and trial.startswith("up"))}
            for row, owner in zip(own, OWNER, strict=True)
        ])  # fmt: skip
        whole = tables.read(storage, study, "images").to_pylist()
        mean = float(np.mean([row["value"] for row in whole if row["trial_id"] == trial]))
        found = tables.read(storage, study, "scores").to_pylist()
        tables.write(storage, study, "scores", [
            {**row, "value": mean if row["split"] == "test" else row["value"]}
            for row in found
            if row["trial_id"] == trial
        ])  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    unequal(folder)
    unequal(folder, "alike", defined=ALIKE)
    return folder


def by_loops(storage: Path, trial: str) -> float:
    of: dict[str, list[float]] = {}
    for row in tables.read(storage, "known", "images").to_pylist():
        if row["trial_id"] == trial:
            of.setdefault(row["patient_id"], []).append(row["value"])
    return sum(sum(own) / len(own) for own in of.values()) / len(of)


def test_means_and_differences_are_of_the_same_score(storage: Path) -> None:
    plain, alike = scores(storage, "known"), scores(storage, "alike")
    measure = alike.measure("dice", "test")
    assert measure is not None
    values = alike.values(measure, "test")
    for trial in ("base-s0", "up-s3"):
        assert values[trial, MACRO] == pytest.approx(by_loops(storage, trial))
    [before], [now] = compare(plain), compare(alike)
    [d], [e] = before.differences, now.differences
    assert e.over_seeds.mean == pytest.approx(np.mean(
        [by_loops(storage, f"up-s{s}") - by_loops(storage, f"base-s{s}") for s in range(5)]
    ))  # fmt: skip
    assert e.over_seeds.mean < d.over_seeds.mean - 0.015, "one patient alone gains"
    assert np.mean(e.per_patient) == pytest.approx(e.over_seeds.mean)
    assert (e.effective_patients, e.patients) == (5, 5)
    assert d.effective_patients < 2
    assert (d.over_both, e.over_both is None) == (None, False), "few patients' images: no test"
    means = {arm.arm: arm.values["dice_macro"].mean for arm in score_summary(alike).arms}
    assert means["up"] - means["base"] == pytest.approx(e.over_seeds.mean)
    curves = [s.rows.scores[s.rows.scores["split"] == "val"]["value"].sum() for s in (plain, alike)]
    assert curves[0] == curves[1]


def test_an_image_that_is_left_out_leaves_its_patient_as_heavy() -> None:
    rng, owners = np.random.default_rng(0), ("b", "a", "a", "b", "c")
    names = ("q", "r", "s", "t", "u")
    arm, base = rng.uniform(0, 1, (2, 3, 5, 2))
    arm[:, 1, 0] = np.nan
    images = ImageScores(names, owners, ("tool", "wire"), {}, "patients")
    (a, b), units, _ = by_patient((arm, base), names)
    found = macro_difference(a, b, alike(1 - np.eye(5), units, images))
    for k, unit in enumerate(units):
        keep = [name != unit for name in names]
        rest = [o for o, kept in zip(owners, keep, strict=True) if kept]
        (own, other), people, _ = by_patient((arm[:, keep], base[:, keep]), rest, "patients")
        once = np.ones((1, len(people)))
        exact = macro_difference(own, other, once)[0]
        # Where a patient's image lacks a class, its others weigh a little less in that class.
        assert found[k] == pytest.approx(exact, abs=0.05)
        if unit == "r":
            assert found[k] == pytest.approx(exact)


def test_the_report_names_it(storage: Path, tmp_path: Path) -> None:
    page = build(storage, ["alike"], tmp_path / "r.html").read_text()
    for words in (
        "difference<small>patients alike</small>",
        "patients weigh alike",
        "Patients weigh alike",
    ):
        assert words in page
    page = build(storage, ["known"], tmp_path / "p.html").read_text()
    assert "patients alike" not in page
    assert "atients weigh alike" not in page
    [fault] = unfair([scores(storage, "known"), scores(storage, "alike")])
    assert fault == "alike in test scores: images in known, patients in alike"
    with pytest.raises(UnlikeError, match="images in known, patients in alike"):
        across([scores(storage, "known"), scores(storage, "alike")])


def test_a_pilot_is_read_in_the_score_that_is_planned(storage: Path) -> None:
    planned = load(storage, "known", "patients")
    pd.testing.assert_frame_equal(
        planned.scores.drop(columns="study"),
        load(storage, "alike").scores.drop(columns="study"),
    )


def rows(**columns: Any) -> Mapping[str, Any]:
    common = {"trial_id": "t", "split": "test", "resolution": "9x9", "metric": "dice",
              "protocol": "per_image"}  # fmt: skip
    return {**common, **columns}


def test_classes_that_images_lack_and_what_knows_no_patients() -> None:
    images = pd.DataFrame([
        rows(class_name="tool", patient_id="a", value=0.2),
        rows(class_name="tool", patient_id="a", value=0.4),
        rows(class_name="tool", patient_id="b", value=0.9),
        rows(class_name="wire", patient_id="a", value=math.nan),
        rows(class_name="wire", patient_id="a", value=0.5),
        rows(class_name="wire", patient_id="b", value=math.nan),
        rows(class_name="tool", patient_id="b", value=0.1, split="val"),
    ])  # fmt: skip
    table = pd.DataFrame([
        rows(class_name="tool", value=0.5),
        rows(class_name="wire", value=0.5),
        rows(class_name=MACRO, value=0.5),
        rows(class_name="tool", value=0.31, protocol="of all pixels"),
        rows(class_name="tool", value=0.1, split="val"),
    ])  # fmt: skip
    extra = pd.concat([images, images.assign(protocol="of all pixels")])
    found = patients_alike({"images": extra, "scores": table})["scores"]
    assert list(found["value"]) == pytest.approx([0.6, 0.5, 0.55, 0.31, 0.1])
