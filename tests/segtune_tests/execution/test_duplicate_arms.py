"""Arms that change nothing, on the small network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.presets import imedsam_nano, nano
from segtune.execution.duplicate_arms import build_fingerprint, find_duplicate_arms
from segtune.execution.preflight import check_data_and_weights
from segtune.execution.resources import Resources
from segtune.study.overrides import SpecError, apply
from segtune.study.spec import Ablation
from segtune.study.validate import validate


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    data = SyntheticLiver(train=1, val=1, test=1, size=64)
    small: TrainConfig = apply(replace(nano(), data=data), {"system.image_size": 64})
    return small


def study(baseline: Any, **arms: dict[str, Any]) -> Ablation:
    return Ablation(question="?", baseline=baseline, arms=arms, seeds=(0,))


def test_depth_settings_without_a_depth_encoder_are_named(tiny: TrainConfig) -> None:
    """The configuration takes them: they belong to a part that is not built."""
    blind = apply(tiny, {"system.fusion.mode": "rgb_only"})
    ablation = study(blind, sees_image={"system.depth.source": "image"})
    validate(ablation)
    with pytest.raises(SpecError) as refused:
        check_data_and_weights(ablation, Resources())
    (fault,) = refused.value.faults
    assert "arm sees_image is inert" in fault
    assert "differs from baseline in system.depth.source" in fault


@pytest.mark.parametrize("workers", [Resources(workers=9), Resources(max_workers=9)])
def test_more_workers_than_samples_of_a_batch_are_refused(
    tiny: TrainConfig, workers: Resources
) -> None:
    ablation = study(apply(tiny, {"schedule.batch_size": 8}))
    with pytest.raises(SpecError, match="batch_size = 8 leaves some of 9 workers without a sample"):
        check_data_and_weights(ablation, workers)


def test_a_default_spelled_out_is_the_default(tiny: TrainConfig) -> None:
    lora = apply(tiny, {"method": "lora", "method.rank": 4})
    ablation = study(lora, same={"method.alpha": 8}, other={"method.alpha": 16})
    validate(ablation)
    (fault,) = find_duplicate_arms(ablation)
    assert "arm same is inert" in fault
    assert "method.alpha" in fault


def test_what_changes_evaluation_alone_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    data = SyntheticPolyps(train=1, val=1, test=1, size=64)
    coded = {"system.sampling.estimator": "as_coded", "system.sampling.passes": 2}
    small = apply(replace(imedsam_nano(), data=data), {"system.image_size": 64, **coded})
    assert find_duplicate_arms(study(small, off={"system.sampling.at_evaluation": False})) == []
    masks = apply(small, {"system.decoder": "masks"})
    (fault,) = find_duplicate_arms(study(masks, off={"system.sampling.at_evaluation": False}))
    assert "arm off is inert: it differs from baseline in system.sampling.at_evaluation" in fault


def test_what_changes_a_training_is_not_refused(tiny: TrainConfig) -> None:
    """Each of these is the same network, tensor by tensor, when it is built."""
    ablation = study(
        tiny,
        query={"system.fusion.query": "rgb"},
        heads={"system.fusion.heads": 4},
        gap={"method.update_proj_gap": 7},
        moments={"method.moments": "reset"},
        dice={"system.loss.dice_weight": 2.0},
        lr={"method.lr": 1e-3},
        clip={"optim.clip_norm": None},
        flip={"augment.flip": 0.0},
        epochs={"schedule.epochs": 3},
        data={"data.train": 2},
    )
    validate(ablation)
    assert find_duplicate_arms(ablation) == []


def test_a_method_that_acts_between_steps_counts_by_its_settings(tiny: TrainConfig) -> None:
    ada = apply(tiny, {"method": "adalora", "method.rank": 4})
    assert (
        find_duplicate_arms(study(ada, late={"method.end": 0.9}, memory={"method.beta1": 0.5}))
        == []
    )


def test_what_cannot_be_built_is_said_before_it_runs(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: TrainConfig) -> str:
        if config.method.rank == 2:  # type: ignore[attr-defined]
            raise ValueError("no target has that many rows")
        return "one and the same"

    monkeypatch.setattr("segtune.execution.duplicate_arms.build_fingerprint", build)
    ablation = study(tiny, low={"method.rank": 2}, high={"method.rank": 16})
    assert [f.partition(":")[0] for f in find_duplicate_arms(ablation)] == [
        "arm low",
        "arm high is inert",
    ]


def test_a_fingerprint_is_the_same_each_time(tiny: TrainConfig) -> None:
    assert build_fingerprint(tiny) == build_fingerprint(tiny)
    assert build_fingerprint(tiny) != build_fingerprint(replace(tiny, seed=1))


def test_large_networks_are_left_to_the_other_check(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(config: Any) -> str:
        raise AssertionError("too large to build")

    monkeypatch.setattr("segtune.execution.duplicate_arms.build_fingerprint", built)
    large = apply(tiny, {"system.image_size": 1024})
    assert find_duplicate_arms(study(large, heads={"system.fusion.heads": 4})) == []
    assert find_duplicate_arms(study(tiny, other={"method": "galore"})) == [], (
        "names tell them apart"
    )
