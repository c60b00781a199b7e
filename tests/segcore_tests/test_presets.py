"""Presets: the paper's protocol to the letter, and no reading with a dead switch."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces.readings.paper_readings import SWITCHES, arms
from segcore import presets
from segcore.config import TrainConfig
from segcore.methods.method import Method
from segcore.presets import as_coded, improved, nano, paper, paper_as_coded, published, recommended
from segcore.testing import LANDMARKS, noise
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segtune.study.overrides import apply, flatten

READINGS = {"paper": paper, "paper_as_coded": paper_as_coded, "recommended": recommended}
DIFFERENCES: dict[str, tuple[Any, Any, Any]] = {
    "system.rgb.standardise": (True, False, True),
    "system.depth.shifted": (False, True, False),
    "system.fusion.residual": (False, False, True),
    "system.fusion.train_depth_projection": (True, False, True),
    "system.decoder.layout": ("esanet", "flat", "pyramid"),
    "method": ("srft_galore", "srft_galore_published", "srft_galore"),
    "method.rank": (128, 64, 128),
    "method.side": ("left", "short", "short"),
    "method.oversample": (0, None, 10),
    "method.power_iterations": (0, None, 1),
    "system.loss.background": (True, True, False),
    "system.loss.entropy": ("binary", "binary_of_log_softmax", "softmax"),
    "system.loss.resolution": ("native", "native", "target"),
    "optim.eps": (1e-8, 1e-6, 1e-8),
    "optim.clip_norm": (None, None, 1.0),
    "schedule.warmup_steps": (0, 0, 20),
    "schedule.final_lr_ratio": (0.02, 1.0, 0.02),
    "schedule.last_batch": ("kept", "dropped", "kept"),
    "system.enlarging": ("bilinear", "nearest", "bilinear"),
    "evaluation.select_on": (
        ("dice", "macro", "per_image"),
        ("dice", "pooled", "stacked"),
        ("dice", "macro", "per_image"),
    ),
    "augment.flip_axis": ("either", "either", "horizontal"),
    "augment.brightness": (0.0, 0.0, 0.2),
}
OF_THE_SCALE: dict[str, tuple[Any, Any, Any]] = {
    "data.truth": ("d2gpland", "d2gpland", "scaled"),
    "data.shrink": ("linear", "linear", "area"),
    "precision": ("float32", "float32", "bfloat16"),
    "evaluation.resolutions": ((), (), ("image",)),
}
"""Further ones at the paper's scale, which is on L3D."""
ONLY_SCORED = ("system.enlarging", "evaluation.select_on")
"""What changes no weight, but what is said of them."""
"""Every field in which the readings differ: paper, as coded, recommended; None where there is no
such field."""
UNTOLD = re.compile(
    r"^(prompts|evaluation\.tta)\.|^evaluation\.(external|resolutions)$|^data\.root$"
    r"|\.(pretrained|checkpoint|hub)$"
)
MAY_BE_NONE = ("optim.clip_norm",)


def at_paper_scale(name: str) -> dict[str, Any]:
    return flatten(READINGS[name]("L3D", pretrained="random"))


def test_the_papers_protocol() -> None:
    config = at_paper_scale("paper")
    expected = {
        "data": "l3d",
        "system": "dual_encoder",
        "system.image_size": 1024,
        "system.rgb.size": "hiera_large",
        "system.depth.size": "small",
        "system.depth.source": "image",
        "system.fusion.mode": "cross_attention",
        "system.fusion.stride": 16,
        "system.fusion.query": "depth",
        "system.fusion.heads": 2,
        "system.decoder.width": 256,
        "system.decoder.blocks": 1,
        "method": "srft_galore",
        "method.targets": "attention",
        "method.update_proj_gap": 50,
        "method.scale": 1.0,
        "method.lr": None,
        "optim.lr": 5e-5,
        "optim.weight_decay": 3e-5,
        "system.loss.dice_weight": 1.0,
        "system.loss.ce_weight": 1.0,
        "schedule.epochs": 100,
        "schedule.batch_size": 4,
    }
    assert {field: config[field] for field in expected} == expected


def test_the_readings_differ_in_the_named_fields_and_no_others() -> None:
    found = differences([at_paper_scale(name) for name in READINGS])
    assert found == {**DIFFERENCES, **OF_THE_SCALE}


def test_the_table_in_the_docs_is_what_the_presets_are() -> None:
    """Every field but places, weights, and what this system does not use."""
    text = Path(presets.__file__).with_name("srft_galore.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \| (.+?) \|.*\|.*\|$", text, re.M)
    told = {field: cells for field, *cells in rows}
    assert len(told) == len(rows), "a field stands once"
    values = [at_paper_scale(name) for name in READINGS]
    fields = {f for v in values for f in v if not UNTOLD.search(f)}
    assert told.keys() == fields
    expected = {f: ["–" if f not in v else f"`{json.dumps(v[f])}`" for v in values] for f in fields}
    assert told == expected
    for field, (one, coded, _) in told.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{field}`"))
        if one != coded and coded != "–":
            assert row.split(" | ")[4].strip(), f"{field}: what does the code do?"


def test_the_readings_differ_alike_at_nano_scale() -> None:
    found = differences([flatten(read(nano())) for read in (published, as_coded, improved)])
    assert found.keys() == DIFFERENCES.keys()


def differences(values: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What differs, but for fields of a method that are at their defaults where they exist."""
    found = {f: tuple(v.get(f) for v in values) for v in values for f in v}
    return {
        f: v
        for f, v in found.items()
        if len({x for x in v if x is not None or f in MAY_BE_NONE}) > 1
    }


def test_a_reading_is_of_one_system_and_method() -> None:
    with pytest.raises(ValueError, match="not of dual_encoder and lora"):
        published(dataclasses.replace(nano(), method=Method.named("lora")))


def trained(config: TrainConfig) -> tuple[list[float], dict[str, Tensor]]:
    training = Training(config, Runtime())
    losses = [step.loss for _ in (1, 2) for step in training.advance().steps]
    moved = {n: p.detach() for n, p in training.system.named_parameters() if p.requires_grad}
    return losses, moved


def short(config: TrainConfig, tiny: TrainConfig) -> TrainConfig:
    """The same on six images, two epochs of two steps, the basis refreshed at every other."""
    schedule = dataclasses.replace(config.schedule, epochs=2, batch_size=4)
    small = dataclasses.replace(config, data=tiny.data, schedule=schedule)
    often: TrainConfig = apply(small, {"method.update_proj_gap": 2})
    return often


@pytest.fixture(scope="module")
def of_the_paper() -> dict[str, Any]:
    """What the paper's reading trains to, once for all switches."""
    return {}


@pytest.mark.parametrize(
    ("reading", "fields"),
    [
        *((as_coded, fields) for fields in SWITCHES.values() if fields[0] not in ONLY_SCORED),
        *(
            pytest.param(improved, (f,), marks=pytest.mark.slow)
            for f, (one, _, other) in DIFFERENCES.items()
            if other != one
        ),
    ],
)
def test_no_switch_is_dead(
    tiny: TrainConfig, of_the_paper: dict[str, Any], reading: Any, fields: tuple[str, ...]
) -> None:
    """Each difference alone changes what is trained; and the same twice gives the same."""
    base = published(nano())
    changes = {field: flatten(reading(base))[field] for field in fields}
    if not of_the_paper:
        of_the_paper["result"] = trained(short(base, tiny))
        again = trained(short(base, tiny))
        assert again[0] == of_the_paper["result"][0]
    losses, moved = trained(short(apply(base, changes), tiny))
    old_losses, old_moved = of_the_paper["result"]
    changed = moved.keys() != old_moved.keys() or any(
        x.shape != old_moved[n].shape or not torch.equal(x, old_moved[n]) for n, x in moved.items()
    )
    assert changed
    # What acts on the update alone shows in the second loss at the earliest.
    assert losses != old_losses


def test_the_code_enlarges_by_nearest_neighbours_and_selects_on_all_landmarks_at_once() -> None:
    base, coded = published(nano()), as_coded(nano())
    logits = []
    for config in (base, apply(base, {"system.enlarging": "nearest"})):
        torch.manual_seed(0)
        system = config.system.build(LANDMARKS)
        with torch.no_grad():
            said = system(noise(1, config.system.input_size), config.system.input_size)
        logits.append((said.extras["native"], said.logits_BKhw))
    (native, smooth), (same, blocks) = logits
    assert torch.equal(native, same)
    assert torch.equal(blocks, native.repeat_interleave(4, -1).repeat_interleave(4, -2))
    assert not torch.equal(blocks, smooth)
    assert coded.selects() == ("dice", "pooled", "stacked", "maximize")
    assert base.selects() == ("dice", "macro", "per_image", "maximize")


def test_the_study_takes_every_difference_between_paper_and_code_apart() -> None:
    base = published(nano())
    changes = arms(base)
    alone = {field for arm in SWITCHES for field in changes[arm]}
    assert alone == changes["coded"].keys()
    assert apply(base, changes["coded"]) == as_coded(nano())
    assert apply(base, changes["recommended"]) == improved(nano())
