"""Measures of saliency against PySODMetrics, then by their properties, then on a training."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from support import saliency_reference
from support.saliency_reference import READINGS, STORED, cases

from segcore.classes import ClassSpec
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.metrics import METRICS
from segcore.metrics.aggregate import aggregate
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Metric, Pair
from segcore.metrics.table import OF_SALIENCY
from segcore.presets import nano
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import ImageScore
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule

CASES = cases()
SALIENT = ClassSpec(("salient",), exclusive=False)
F_LIKE = ("f_measure", "weighted_f")
maps = arrays(np.float32, (9, 12), elements=st.floats(0, 1, width=32))
truths = arrays(np.bool_, (9, 12))


def stored() -> dict[str, Any]:
    return dict(json.loads(STORED.read_text()))


def row(name: str, reading: str) -> Metric:
    """The row of a measure of PySODMetrics in a reading of its maps."""
    measure, _, kind = name.partition(".")
    if kind == "mean_over_thresholds":
        key = name
    elif not kind:
        key = f"{measure}.{reading}"
    else:
        key = name if reading == "probabilities" else f"{name}_min_max"
    found: Metric = METRICS[key].load()
    return found


def value(metric: Metric, map_HW: NDArray[np.floating], truth_HW: NDArray[np.bool_]) -> float:
    pair = Pair(map_HW > 0.5, truth_HW, map_HW.astype(np.float32))
    return metric.number(metric.compute(pair))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reading", READINGS)
def test_equal_to_pysodmetrics(reading: str, case: str) -> None:
    map_HW, truth_HW = CASES[case]
    for name, expected in stored()[reading][case].items():
        if reading == "probabilities" and "thresholds" in name:
            continue  # there is no such row
        own_reading = reading == "probabilities"
        if own_reading and name.startswith(F_LIKE) and not truth_HW.any():
            expected = math.nan
        if own_reading and name.endswith("adaptive") and not map_HW.any():
            continue  # nothing is marked where PySODMetrics marks everything: a test below
        found = value(row(name, reading), map_HW, truth_HW)
        assert found == pytest.approx(min(expected, 1), abs=1e-6, nan_ok=True), name


@pytest.mark.parametrize("reading", READINGS)
def test_a_maximum_over_a_set_is_that_of_the_mean_curve(reading: str) -> None:
    """And not the mean of the maxima, which is larger."""
    expected = stored()[reading]["the set"]
    for name in ("f_measure.max", "e_measure.max"):
        metric = row(name, reading)
        assert metric.reduce is not None
        curves = [metric.compute(Pair(m > 0.5, t, m)) for m, t in CASES.values() if t.any()]
        assert metric.reduce(curves) == pytest.approx(expected[name], abs=1e-6)
        assert np.mean([metric.number(c) for c in curves]) > expected[name] + 0.02


def test_an_empty_truth_counts_in_no_f_measure_of_a_set() -> None:
    images = []
    for name, (map_HW, truth_HW) in CASES.items():
        scored = Scored(
            (map_HW > 0.5).astype(np.uint8), truth_HW.astype(np.uint8), None, map_HW[None]
        )
        metrics = [METRICS[k].load() for k in ("f_measure.max", "mae.probabilities")]
        for s in score(scored, SALIENT, metrics, "image"):
            curve = s.value if isinstance(s.value, np.ndarray) else None
            images.append(
                ImageScore(
                    *("test", "64x64", name, name, "image", name, s.class_name),
                    *(s.metric.name, s.metric.protocol, s.metric.number(s.value)),
                    curve=curve,
                )
            )
    found = {(s.metric, s.class_name): s for s in aggregate(images)}
    best = found["f_measure", "salient"]
    assert best.n == len(CASES) - 2
    expected = stored()["probabilities"]["the set"]["f_measure.max"]
    assert best.value == pytest.approx(expected, abs=1e-6)
    assert found["f_measure", "pooled"].value == found["f_measure", "macro"].value == best.value
    assert found["mae", "salient"].n == len(CASES)


def test_a_map_of_zeros_marks_nothing() -> None:
    zeros, truth = CASES["nothing found"]
    nothing = np.zeros_like(truth)
    f, e = METRICS["f_measure.adaptive"].load(), METRICS["e_measure.adaptive"].load()
    assert value(f, zeros, truth) == 0
    assert value(e, zeros, truth) == pytest.approx(0.25, abs=1e-3)  # all that an empty mask has
    assert value(e, zeros, nothing) == 1
    assert value(row("e_measure.adaptive", "min_max"), zeros, nothing) == 0  # PySODMetrics' trap
    assert value(row("f_measure.adaptive", "min_max"), zeros, truth) > 0.15


def test_stretching_hides_who_is_never_sure_and_makes_noise_an_object() -> None:
    map_HW, truth_HW = CASES["faint"]
    assert value(METRICS["mae.min_max"].load(), map_HW, truth_HW) < 0.13
    assert value(METRICS["mae.probabilities"].load(), map_HW, truth_HW) > 0.14
    map_HW, truth_HW = CASES["truth is empty"]
    assert value(METRICS["mae.min_max"].load(), map_HW, truth_HW) > 0.5
    assert value(METRICS["mae.probabilities"].load(), map_HW, truth_HW) < 0.02


@settings(max_examples=60, deadline=None)
@given(maps, truths)
def test_every_value_is_a_fraction_and_none_beats_the_truth(
    map_HW: NDArray[np.float32], truth_HW: NDArray[np.bool_]
) -> None:
    for key in OF_SALIENCY:
        metric: Metric = METRICS[key].load()
        pair = Pair(map_HW > 0.5, truth_HW, map_HW)
        perfect = Pair(truth_HW, truth_HW, truth_HW.astype(np.float32))
        if metric.classes == "stacked":
            pair, perfect = (Pair(p.prediction[None], p.truth[None]) for p in (pair, perfect))
        found, best = (metric.number(metric.compute(p)) for p in (pair, perfect))
        if math.isnan(best):
            assert not truth_HW.any()
            continue
        assert 0 <= found <= 1
        if truth_HW.any() or metric.protocol != "adaptive_min_max":  # see the trap above
            assert found >= best if metric.direction == "minimize" else found <= best + 1e-9
        thresholds = "mean" in metric.protocol  # at threshold 0 everything is marked
        if truth_HW.any() and not truth_HW.all() and not thresholds:
            assert best == pytest.approx(float(metric.direction == "maximize"))


@settings(max_examples=40, deadline=None)
@given(maps, truths)
def test_a_hard_mask_is_a_map_of_zeros_and_ones(
    map_HW: NDArray[np.float32], truth_HW: NDArray[np.bool_]
) -> None:
    hard = (map_HW > 0.5).astype(np.float32)
    for name, of_maps in (
        *((m, "probabilities") for m in ("s_measure", "weighted_f", "mae")),
        *((m, "adaptive") for m in ("e_measure", "f_measure")),
    ):
        masks, soft = (METRICS[f"{name}.{p}"].load() for p in ("hard_mask", of_maps))
        found = value(masks, map_HW, truth_HW)
        assert found == pytest.approx(value(soft, hard, truth_HW), nan_ok=True)
    wrong = ((map_HW > 0.5) != truth_HW).mean()
    assert value(METRICS["mae.hard_mask"].load(), map_HW, truth_HW) == pytest.approx(wrong)


@settings(max_examples=40, deadline=None)
@given(maps, truths)
def test_flipping_both_changes_only_what_the_middle_divides(
    map_HW: NDArray[np.float32], truth_HW: NDArray[np.bool_]
) -> None:
    for key in OF_SALIENCY:
        metric: Metric = METRICS[key].load()
        if metric.name in ("s_measure", "weighted_f") or metric.classes == "stacked":
            continue  # the truth's middle is rounded, and the nearest of equally near is one side's
        found = value(metric, map_HW, truth_HW)
        assert value(metric, map_HW[:, ::-1], truth_HW[:, ::-1]) == pytest.approx(
            found, nan_ok=True
        )


def test_miou_of_a_set_is_that_of_mmsegmentation() -> None:
    """Of all pixels together, over the classes that are anywhere, the background too."""
    both = ClassSpec(("background", "ship", "plane", "never"), exclusive=True)
    random = np.random.default_rng(0)
    truths = [random.integers(0, 3, (8, 10)).astype(np.uint8) for _ in range(3)]
    guesses = [np.where(random.random(t.shape) < 0.7, t, 0).astype(np.uint8) for t in truths]
    confusion = np.zeros((4, 4))
    for guess, truth in zip(guesses, truths, strict=True):
        np.add.at(confusion, (truth.ravel(), guess.ravel()), 1)
    hits, either = confusion.diagonal(), confusion.sum(0) + confusion.sum(1)
    for key, expected in (
        ("iou.set_with_background", (hits[:3] / (either - hits)[:3]).mean()),
        ("dice.set_with_background", (2 * hits[:3] / either[:3]).mean()),
    ):
        metric: Metric = METRICS[key].load()
        counts = [
            s.value
            for g, t in zip(guesses, truths, strict=True)
            for s in score(Scored(g, t), both, [metric], "image")
        ]
        assert metric.reduce is not None
        assert metric.reduce(counts) == pytest.approx(expected)
        assert np.mean([metric.number(c) for c in counts]) != pytest.approx(expected)


def test_the_stored_values_are_of_the_maps_here() -> None:
    known = stored()
    assert set(known) == set(saliency_reference.READINGS)
    for values in known.values():
        assert set(values) == {*CASES, "the set"}


def test_a_training_is_scored_with_them() -> None:
    """Probabilities reach the metrics of val and of test; val has the quick ones alone."""
    config = dataclasses.replace(
        nano(),
        system=DualEncoderConfig(fusion=FusionConfig(mode="rgb_only")),
        data=SyntheticPolyps(train=2, val=2, test=2, images_per_patient=1, size=64),
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
        evaluation=EvaluationConfig(
            metrics=OF_SALIENCY, select_on=("s_measure", "macro", "probabilities")
        ),
    )
    epoch, final = train(config, Runtime())
    of_val = {(s.metric, s.protocol) for s in epoch.scores}
    quick = {tuple(k.split(".")) for k in OF_SALIENCY if not METRICS[k].load().only_at_test}
    assert of_val == quick
    assert set(config.scores()) == {m for m, _ in quick}
    of_test = {f"{s.metric}.{s.protocol}" for s in final.scores}
    assert of_test == set(OF_SALIENCY)
    assert all(0 <= s.value <= 1 for s in final.scores)
    assert {s.unit for s in final.scores} == {"fraction"}
    by_key = {(s.metric, s.protocol, s.class_name): s.value for s in final.scores}
    soft, hard = (by_key["mae", p, "polyp"] for p in ("probabilities", "hard_mask"))
    assert soft != hard
    assert by_key["mae", "probabilities", "pooled"] == soft
    own = [
        i for i in final.images if (i.split, i.metric, i.protocol) == ("test", "f_measure", "max")
    ]
    assert len(own) == 4
    assert np.mean([i.value for i in own]) >= by_key["f_measure", "max", "polyp"]
