"""Every study that comes with segtune is loaded, checked and bound to its model."""

import functools
import json
from typing import Any

import pytest
import torch

from segcore.classes import ClassSpec
from segcore.config import TrainConfig, from_json, to_json
from segtune.results.provenance import Origin
from segtune.results.trial_rows import trial_row
from segtune.study import catalog
from segtune.study.definition import check_grown, define
from segtune.study.overrides import apply, flatten
from segtune.study.space import ends
from segtune.study.spec import Ablation, Search, Study
from segtune.study.trial import PackedTrial
from segtune.study.validate import validate

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)


def configurations(study: Study) -> dict[str, TrainConfig]:
    """Every arm and candidate; of a search, each end of each range."""
    if isinstance(study, Ablation):
        trials = [*study.tuning_trials(), *study.trials({})]
        return {
            t.trial_id: t.config for t in trials if t.seed in (study.all_seeds[0], study.tune_seed)
        }
    out = {"baseline": study.baseline}
    for field, changes in ends(study.space):
        out[f"{field}: {changes}"] = apply(study.baseline, changes)
    return out


def without_weights(config: TrainConfig) -> TrainConfig:
    """The same network, from no file."""
    changes: dict[str, Any] = {}
    for field in flatten(config.system):
        if field.endswith(".pretrained"):
            changes[f"system.{field}"] = "random"
            changes[f"system.{field.removesuffix('pretrained')}checkpoint"] = None
    bound: TrainConfig = apply(config, changes)
    return bound


@pytest.fixture
def _shapes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks be built on the meta device: Hiera reads the values of a linspace, and weights
    without values have no hash."""
    monkeypatch.setattr(torch, "linspace", functools.partial(torch.linspace, device="cpu"))
    networks = ("dual_encoder.network", "imedsam.network", "weft.network")
    for module in (*networks, "d2gpland", "hiera_unet", "sam2_unet"):
        monkeypatch.setattr(f"segcore.systems.{module}.tensors_hash", lambda module: "")


@pytest.mark.usefixtures("_shapes_only")
@pytest.mark.parametrize("name", catalog.names())
def test_study_is_sound_and_its_trials_have_a_model_and_an_optimizer(name: str) -> None:
    named = catalog.find(name)
    validate(named.study)
    systems: dict[str, Any] = {}
    for config in configurations(named.study).values():
        assert from_json(TrainConfig, to_json(config)) == config
        key = json.dumps([to_json(config)["system"], config.method.name, repr(config.method)])
        if key in systems:
            continue
        with torch.device("meta"):
            system = without_weights(config).system.build(CLASSES)
            config.method.adapt(system)
            systems[key] = config.method.optimizer(system, config.optim)
        assert 1 <= len(systems[key].param_groups) <= 3  # encoder, head, and a head of its own rate


@pytest.mark.parametrize("name", catalog.names())
def test_every_study_and_trial_can_be_written(name: str) -> None:
    study = catalog.find(name).study
    kept = json.loads(json.dumps(define(name, study)))
    check_grown(kept, define(name, study))
    origin = Origin(git_commit=None, git_dirty=None, versions={})
    for trial in study.trials({}) if isinstance(study, Ablation) else ():
        row = trial_row(trial, origin, workers=1)
        assert row["trial_id"] == trial.trial_id
        unpacked = PackedTrial.of(trial).unpack()
        assert unpacked.config == trial.config
        same = {"started": row["started"]}
        assert trial_row(unpacked, origin, workers=1) | same == row


@pytest.mark.parametrize("name", catalog.names())
def test_docstring_gives_question_command_and_cost(name: str) -> None:
    named = catalog.find(name)
    question, *rest = named.description.splitlines()
    assert question.partition("?")[0] in named.study.question
    assert any(line.startswith(f"Command: segtune run {name}") for line in rest)
    assert any(line.startswith("Cost: ") for line in rest)


@pytest.mark.parametrize("name", catalog.names())
def test_docstring_counts_the_trials(name: str) -> None:
    named = catalog.find(name)
    study = named.study
    trials = study.num_samples if isinstance(study, Search) else len(list(study.trials({})))
    assert f"{trials} trials" in named.description.replace("\n", " ")
    if isinstance(study, Ablation) and study.tune:
        assert f"{len(list(study.tuning_trials()))} tuning trials" in named.description
