"""I-MedSAM's readings: each is whole, and they differ where paper and code do."""

from collections.abc import Callable
from typing import Any

import pytest

from segcore.config import TrainConfig, from_json, to_json
from segcore.presets import imedsam_as_coded, imedsam_nano, imedsam_paper, imedsam_recommended
from segtune.study.overrides import flatten

Reading = Callable[..., TrainConfig]
READINGS: tuple[Reading, ...] = (imedsam_paper, imedsam_as_coded, imedsam_recommended)


@pytest.mark.parametrize("data", ["kvasir_sessile", "bcv"])
@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_is_whole(reading: Reading, data: str) -> None:
    config = reading("data", data=data, pretrained="random")
    assert from_json(TrainConfig, to_json(config)) == config
    of_volumes = data == "bcv"
    assert config.system.image_size == (512 if of_volumes else 384)
    assert config.prompts.per == ("class" if of_volumes else "image")
    assert config.evaluation.select_on[2] == ("per_case" if of_volumes else "per_image")
    assert config.schedule.epochs == 1000
    assert config.schedule.batch_size == 1


def test_paper_and_code_differ_in_what_the_notes_name() -> None:
    paper, coded = (
        flatten(r("data", pretrained="random")) for r in (imedsam_paper, imedsam_as_coded)
    )
    differing: dict[str, tuple[Any, Any]] = {
        field: (paper.get(field), coded.get(field))
        for field in paper.keys() | coded.keys()
        if paper.get(field) != coded.get(field)
    }
    expected: dict[str, tuple[Any, Any]] = {
        "method.gate": (False, True),
        "prompts.source": ("jittered", "grown"),
        "system.standardise": (True, False),
        "system.frequency.source": ("grey", "red"),
        "system.features": ("encoder", "upscaled"),
        "system.image_code": (False, True),
        "system.coordinates.frequencies": ("octaves", "spread"),
        "system.coordinates.include_input": (False, True),
        "system.coordinates.plane": (False, True),
        "system.coordinates.warmup_epochs": (0, 20),
        "system.field.fine": ((512, 256, 256, 128), (256, 256, 128)),
        "system.field.norm": ("none", "batch"),
        "system.sampling.estimator": ("sampled", "as_coded"),
        "system.sampling.passes": (8, 2),
        "system.sampling.at_evaluation": (True, False),
        "system.tuned_prompts": ("used", "all"),
        "system.progressive_epochs": (0, 5),
        "system.loss.dice_weight": (0.5, 0.8),
        "system.loss.ce_weight": (0.5, 0.0),
        "system.loss.squared": (False, True),
    }
    assert differing == expected


def test_the_small_one_is_of_rendered_polyps_told_by_jittered_boxes() -> None:
    config = imedsam_nano()
    assert config.data.name == "synthetic_polyps"
    assert config.prompts.source == "jittered"
    assert config.system.sam.pretrained == "packaged"  # type: ignore[attr-defined]
