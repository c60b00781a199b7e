"""The scores of an evaluation as a person and a program see them."""

import math

import numpy as np
import pytest
from rich.console import Console

from segcore.metrics.aggregate import aggregate
from segcore.training.events import ImageScore
from segtune.commands.scoring.shown import Scores, as_json, over_patients, show
from segtune.results.evaluations import Setting, Subject

PATIENTS = 8


def image_scores(metric: str, protocol: str, patients: int = PATIENTS) -> list[ImageScore]:
    """Two images of each patient and two classes, of which the second is not in every image."""
    rng = np.random.default_rng(0)
    return [
        ImageScore(
            split="test",
            resolution="image",
            sample_id=f"p{patient}-{image}",
            patient_id=f"p{patient}",
            scope="image",
            case_id=f"p{patient}-{image}",
            class_name=name,
            metric=metric,
            protocol=protocol,
            value=math.nan if name == "vessel" and patient == 0 else rng.uniform(0.4, 0.9),
        )
        for patient in range(patients)
        for image in range(2)
        for name in ("liver", "vessel", "pooled")
    ]


def scores(images: list[ImageScore]) -> Scores:
    return Scores(
        title="lora-s0 on folder",
        subject=Subject(trial_id=None, arm=None, seed=None, source="checkpoint", source_hash="0"),
        setting=Setting(
            data="folder",
            settings={"data.patient": "(.+)-.*"},
            data_hash="1",
            split="test",
            resolution="image",
            prompts="none",
            device="cpu",
        ),
        scores=aggregate(images),
        images=images,
        study=None,
        evaluation=None,
    )


def test_every_value_lies_in_its_interval_over_patients() -> None:
    found = scores(image_scores("dice", "per_image"))
    assert {s.class_name for s in found.scores} == {"liver", "vessel", "pooled", "macro"}
    for score in found.scores:
        limits = over_patients(found.images, score)
        assert limits is not None
        assert limits.mean == pytest.approx(score.value)
        assert limits.low < score.value < limits.high
        assert limits.patients == (PATIENTS if score.class_name != "vessel" else PATIENTS - 1)


def test_few_patients_and_what_is_no_mean_have_no_interval() -> None:
    few = scores(image_scores("dice", "per_image", patients=5))
    assert {over_patients(few.images, s) for s in few.scores} == {None}
    no_mean = scores(image_scores("f_measure", "max"))
    assert {over_patients(no_mean.images, s) for s in no_mean.scores} == {None}


def test_a_person_and_a_program_see_the_same_numbers() -> None:
    found = scores(image_scores("dice", "per_image"))
    console = Console(width=120)
    with console.capture() as captured:
        show(found, console)
    shown = captured.get()
    told = as_json(found)
    assert told["settings"] == {"data.patient": "(.+)-.*"}
    for row in told["scores"]:
        if row["class"] != "pooled":
            assert f"{row['value']:.3f}" in shown
        if row["class"] == "macro":
            assert f"{row['patients_low']:.3f} to {row['patients_high']:.3f}" in shown
    nothing = scores([i for i in image_scores("dice", "per_image") if math.isnan(i.value)])
    assert {row["value"] for row in as_json(nothing)["scores"]} == {None}
