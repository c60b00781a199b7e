"""What chooses the best epoch, and what is refused before anything is trained."""

import dataclasses
import math
from typing import Any

import pytest

from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.metrics.metric import Direction
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig, better
from segcore.training.runtime import Runtime
from segtune.study.scores import is_better


@pytest.mark.parametrize("rule", [better, is_better])
@pytest.mark.parametrize(
    ("direction", "value", "than", "expected"),
    [
        ("maximize", 0.5, 0.4, True),
        ("maximize", 0.4, 0.4, False),
        ("minimize", 0.5, 0.4, False),
        ("minimize", 0.3, 0.4, True),
        ("maximize", 0.0, math.nan, True),
        ("minimize", 9.0, math.nan, True),
        ("maximize", math.nan, 0.1, False),
        ("minimize", math.nan, math.nan, False),
    ],
)
def test_training_and_search_choose_by_one_rule(
    rule: Any, direction: Direction, value: float, than: float, expected: bool
) -> None:
    """Every number is better than NaN: a first epoch that predicts nothing is not the best."""
    assert rule(direction, value, than) is expected


def test_the_field_s_own_selection_can_be_had(tiny: TrainConfig) -> None:
    evaluation = EvaluationConfig(select_on=("dice", "pooled", "stacked"))
    config = dataclasses.replace(tiny, evaluation=evaluation)
    for e in train(config, Runtime(test=False)):
        if not e.final:
            stacked = e.score("dice", class_name="pooled", protocol="stacked")
            assert e.selection == stacked


def test_smaller_may_be_better(tiny: TrainConfig) -> None:
    evaluation = EvaluationConfig(select_on=("assd", "ridge", "per_class_px"))
    config = dataclasses.replace(tiny, evaluation=evaluation)
    *epochs, final = train(config, Runtime(test=False))
    values = [e.score("assd", class_name="ridge") for e in epochs]
    assert final.epoch == 1 + values.index(min(values))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metrics": ("dice.per_image", "dice.per_image")}, "each must stand once"),
        ({"metrics": ("dice.per_imge",)}, "there is no dice.per_imge"),
        ({"select_on": ("dice", "macro", "stacked")}, "give the class 'pooled'"),
        ({"select_on": ("dice", "macro", "nowhere")}, "no metric dice.nowhere"),
        ({"metrics": ("assd.per_class_px",)}, "dice.per_image is not among the metrics"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(**fields)


def test_a_class_that_the_data_lack_is_refused_before_training(tiny: TrainConfig) -> None:
    evaluation = EvaluationConfig(select_on=("dice", "liver", "per_image"))
    config = dataclasses.replace(tiny, evaluation=evaluation)
    with pytest.raises(ValueError, match="no class 'liver': choose one of ridge, silhouette"):
        config.open_data()


def test_names_of_classes_that_scores_have_are_refused() -> None:
    with pytest.raises(ValueError, match="can't be called macro"):
        ClassSpec(("background", "macro"), exclusive=True)
    with pytest.raises(ValueError, match="9 classes that may overlap: at most 8"):
        ClassSpec(tuple("abcdefghi"), exclusive=False)
