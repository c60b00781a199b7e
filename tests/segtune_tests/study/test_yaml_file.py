"""A study as YAML is the study that it is in Python, and its mistakes are told at once."""

import json
from pathlib import Path
from typing import get_args

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segcore import presets
from segcore.config import TrainConfig
from segcore.presets import nano
from segtune import (
    Ablation,
    Asha,
    AtLeast,
    AtMost,
    MedianStopping,
    Objective,
    Search,
    Sequential,
    When,
    apply,
)
from segtune.cli import main
from segtune.study import catalog, yaml_file
from segtune.study.overrides import SpecError
from segtune.study.validate import validate

ABLATION = """
kind: ablation
question: Is it worth more than a frozen encoder?
baseline:
  preset: nano
  set: {method: frozen, evaluation.resolutions: [64, [96, 160]]}
baseline_arm: frozen
arms:
  lora: {method: lora, method.rank: 8}
seeds: [0, 1]
tune_each_arm: {optim.lr: [1e-3, 3.0e-3]}
margin: {dice: 0.01, assd: 1}
"""
SEARCH = """
kind: search
question: Which method, at which rank?
baseline: {preset: nano, set: {method: frozen}}
space:
  method: {type: categorical, choices: [frozen, lora, galore]}
  method.rank: {type: int, low: 2, high: 16, log: true,
                when: {field: method, values: [lora, galore]}}
  optim.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
num_samples: 20
objectives: [{metric: dice, direction: maximize}]
constraints: [{metric: peak_memory_bytes, at_most: 8.0e+9}, {metric: dice, at_least: 0.1}]
sampler_options: {n_startup_trials: 4}
scheduler: {name: asha, grace_period: 3}
finalists: 2
margin: {dice: 0.01}
finalist_seeds: [100, 101]
"""


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_an_ablation_is_the_one_in_python(tmp_path: Path) -> None:
    found = catalog.find(str(written(tmp_path, ABLATION)))
    assert found.name == "mine"
    assert found.study == Ablation(
        question="Is it worth more than a frozen encoder?",
        baseline=apply(nano(), {"method": "frozen", "evaluation.resolutions": (64, (96, 160))}),
        baseline_arm="frozen",
        arms={"lora": {"method": "lora", "method.rank": 8}},
        seeds=(0, 1),
        tune_each_arm={"optim.lr": (1e-3, 3e-3)},
        margin={"dice": 0.01, "assd": 1.0},
    )


def test_contrasts_are_pairs_of_arms(tmp_path: Path) -> None:
    study = catalog.find(str(written(tmp_path, ABLATION + "contrasts: [[lora, frozen]]\n"))).study
    assert isinstance(study, Ablation)
    assert study.contrasts == (("lora", "frozen"),)
    with pytest.raises(SpecError, match="contrasts.0"):
        catalog.find(str(written(tmp_path, ABLATION + "contrasts: [[lora]]\n")))


def test_seeds_may_be_sequential(tmp_path: Path) -> None:
    text = SEARCH.replace("[100, 101]", "{first: 100}", 1)
    search = catalog.find(str(written(tmp_path, text))).study
    assert isinstance(search, Search)
    assert search.finalist_seeds == Sequential(first=100)
    assert search.all_finalist_seeds == tuple(range(100, 120))
    text = ABLATION.replace("[0, 1]", "{at_least: 4, at_most: 12}", 1)
    study = catalog.find(str(written(tmp_path, text))).study
    assert isinstance(study, Ablation)
    assert study.seeds == Sequential(at_least=4, at_most=12)


def test_a_search_is_the_one_in_python(tmp_path: Path) -> None:
    assert catalog.find(str(written(tmp_path, SEARCH))).study == Search(
        question="Which method, at which rank?",
        baseline=apply(nano(), {"method": "frozen"}),
        space={
            "method": CategoricalDistribution(("frozen", "lora", "galore")),
            "method.rank": When("method", ("lora", "galore"), IntDistribution(2, 16, log=True)),
            "optim.lr": FloatDistribution(1e-4, 1e-2, log=True),
        },
        num_samples=20,
        objectives=(Objective("dice", "maximize"),),
        constraints=(AtMost("peak_memory_bytes", 8e9), AtLeast("dice", 0.1)),
        sampler_options={"n_startup_trials": 4},
        scheduler=Asha(grace_period=3),
        finalists=2,
        margin={"dice": 0.01},
        finalist_seeds=(100, 101),
    )


def test_the_median_rule(tmp_path: Path) -> None:
    text = SEARCH.replace("{name: asha, grace_period: 3}", "{name: median, min_trials: 5}")
    study = catalog.find(str(written(tmp_path, text))).study
    assert isinstance(study, Search)
    assert study.scheduler == MedianStopping(min_trials=5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ABLATION.replace("seeds: [0, 1]", "seeds: [zero]"), "seeds.0 = 'zero'"),
        (ABLATION.replace("seeds: [0, 1]", "seeds: {at_most: few}"), "seeds.at_most = 'few'"),
        (ABLATION.replace("seeds: [0, 1]", "seeds: {at_most: 2}"), "give more than at_least = 3"),
        (ABLATION.replace("question:", "qestion:"), "qestion"),
        (ABLATION.replace("seeds: [0, 1]", "seeds: 3"), "seeds = 3: write a list, such as [0, 1"),
        (ABLATION.replace("dice: 0.01", "dice: 1 mm"), "margin.dice = '1 mm': write a number, w"),
        (ABLATION.replace("{dice: 0.01, assd: 1}", "0.01"), "such as {dice: 0.01}"),
        (
            ABLATION.replace("kind: ablation", "kind: ablashun"),
            "kind = 'ablashun': choose 'ablation', 'search'",
        ),
        (ABLATION.replace("preset: nano", "preset: polyp_nano"), "Did you mean polyps_nano?"),
        (ABLATION.replace("preset: nano", "preset: mini"), "'nano', 'paper'"),
        (ABLATION.replace("frozen,", "frozen, data: {name: folder},"), "data: write its name, as"),
        (ABLATION.replace("{method: frozen,", "{metod: frozen,"), "Did you mean method?"),
        (ABLATION.replace("preset: nano", "preset: paper"), "data_root"),
        (SEARCH.replace("at_most: 8.0e+9", "at_mst: 8.0e+9"), "at_mst"),
        (SEARCH.replace(", at_most: 8.0e+9", ""), "one of at_most and at_least"),
        (SEARCH.replace("type: int", "type: integer"), "integer"),
        ("kind: [", "is no YAML"),
        (ABLATION.replace("seeds: [0, 1]", 'seeds: ["0", true]'), "seeds.0 = '0'"),
        (ABLATION + "question: Again?", "'question' stands twice"),
        (ABLATION.replace("rank: 8}", "rank: 8}\n  lora: {method: lora}"), "'lora' stands twice"),
        ("", "mine.yaml"),
    ],
)
def test_mistakes_are_told_with_the_file(tmp_path: Path, text: str, fault: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as refused:
        catalog.find(str(path))
    assert fault in str(refused.value)
    assert all(line.startswith(str(path)) for line in refused.value.faults)


def test_a_name_that_is_none_is_all_that_is_told_of_it(tmp_path: Path) -> None:
    text = ABLATION.replace("method: lora,", "method: lorra,")
    study = catalog.find(str(written(tmp_path, text))).study
    with pytest.raises(SpecError) as refused:
        validate(study)
    assert "lorra" in str(refused.value)
    assert "method.rank" not in str(refused.value)


def test_two_mistakes_are_two_lines(tmp_path: Path) -> None:
    text = ABLATION.replace("question:", "qestion:").replace("seeds: [0, 1]", "seeds: [zero]")
    with pytest.raises(SpecError) as refused:
        catalog.find(str(written(tmp_path, text)))
    assert len(refused.value.faults) == 3  # the question is missing, too


def test_the_schema_takes_what_is_right_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(json.dumps(yaml_file.schema()))
    for text in (ABLATION, SEARCH):
        jsonschema.validate(yaml.safe_load(text), schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**yaml.safe_load(text), "seed_s": 1}, schema)


def test_show_takes_a_yaml_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [word for split in ("train", "val", "test") for word in ("--set", f"data.{split}=2")]
    assert main(["show", str(written(tmp_path, SEARCH)), "--storage", str(tmp_path), *few]) == 0
    assert "search of 20 trials" in capsys.readouterr().out


def test_every_preset_can_be_a_baseline() -> None:
    whole = ("nano", "paper", "as_coded", "recommended")
    named = {name for name in presets.__all__ if name.endswith(whole)} - {"as_coded"}
    assert named == {*get_args(yaml_file.Baseline.model_fields["preset"].annotation)}
    assert isinstance(presets.unet_nano(), TrainConfig)
