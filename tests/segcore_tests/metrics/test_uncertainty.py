"""Whether a network is unsure where it is wrong, against scikit-learn and by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from segcore.classes import ClassSpec
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.metrics import METRICS
from segcore.metrics.images import Scored, score
from segcore.metrics.table import OF_IMAGES, OF_UNCERTAINTY
from segcore.metrics.uncertainty import error_auroc, errors_found
from segcore.presets import imedsam_nano
from segcore.systems.imedsam.uncertainty import SamplingConfig
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply


@given(seed=st.integers(0, 2**31), levels=st.integers(1, 9))
def test_auroc_is_scikit_learns(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    unsure = rng.integers(0, levels, (6, 7)).astype(np.float32)
    wrong = rng.random((6, 7)) < 0.3
    if 0 < wrong.sum() < wrong.size:
        assert error_auroc(unsure, wrong) == pytest.approx(
            roc_auc_score(wrong.ravel(), unsure.ravel())
        )
    else:
        assert np.isnan(error_auroc(unsure, wrong))


def test_a_map_that_says_nothing_is_worth_chance() -> None:
    wrong = np.zeros((8, 8), bool)
    wrong[2:4, 3:7] = True
    flat = np.zeros((8, 8), np.float32)
    assert error_auroc(flat, wrong) == 0.5
    assert errors_found(flat, wrong) == pytest.approx(1 / 8)
    assert errors_found(wrong.astype(np.float32), wrong) == 1
    assert errors_found(1 - wrong.astype(np.float32), wrong) == 0
    assert np.isnan(errors_found(flat, np.zeros((8, 8), bool)))


@given(seed=st.integers(0, 2**31))
def test_without_ties_it_is_the_least_sure_eighth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unsure = rng.permutation(64).astype(np.float32).reshape(8, 8)
    wrong = rng.random((8, 8)) < 0.4
    if wrong.any():
        assert errors_found(unsure, wrong) == pytest.approx(wrong[unsure >= 56].sum() / wrong.sum())


def test_pixels_that_nobody_knows_count_in_neither() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((16, 16)) < 0.4).astype(np.uint8)
    guess = np.where(rng.random((16, 16)) < 0.2, 1 - truth, truth)
    unsure = (0.5 * (guess != truth) + rng.random((16, 16))).astype(np.float32)
    ignore = np.zeros((16, 16), bool)
    ignore[:, 8:] = True
    rows = [METRICS[key].load() for key in OF_UNCERTAINTY]
    for classes in (ClassSpec(("polyp",), exclusive=False), ClassSpec(("a", "b"), exclusive=False)):
        known = Scored(guess[:, :8], truth[:, :8], uncertainty=unsure[:, :8])
        cut = score(known, classes, rows, "image")
        for hidden in (0.0, 9.0):
            seen = np.where(ignore, np.float32(hidden), unsure)
            whole = score(Scored(guess, truth, ignore, uncertainty=seen), classes, rows, "image")
            assert [s.value for s in whole] == pytest.approx([s.value for s in cut])


@pytest.mark.parametrize(("estimator", "known"), [("closed_form", True), ("as_coded", False)])
def test_a_training_is_scored_by_it(estimator: str, known: bool, tmp_path: Path) -> None:
    data = SyntheticPolyps(
        train=4, val=2, test=3, images_per_patient=1, size=64, root=str(tmp_path / "polyps")
    )
    sampling = (
        SamplingConfig()
        if known
        else SamplingConfig(estimator="as_coded", passes=2, at_evaluation=False)
    )
    config = dataclasses.replace(
        apply(imedsam_nano(), {"system.image_size": 64, "system.sampling": sampling}),
        data=data,
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
        evaluation=EvaluationConfig(metrics=(*OF_IMAGES, *OF_UNCERTAINTY)),
    )
    epoch, final = train(config, Runtime())
    assert not any(s.metric == "error_auroc" for s in epoch.scores)
    auroc = final.score("error_auroc", split="test", class_name="pooled", protocol="uncertainty")
    found = final.score(
        "errors_found", split="test", class_name="pooled", protocol="least_sure_eighth"
    )
    assert (auroc > 0.6) == known
    if not known:
        assert auroc == 0.5, "nothing is drawn at evaluation"
        assert found == pytest.approx(1 / 8)
