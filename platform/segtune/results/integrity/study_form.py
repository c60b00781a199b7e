"""What `study.json` holds, as far as it is read: fields and their types.

Fields may be left out, as versions before have, and others may be there, of versions to come.
"""

from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from segtune.study.overrides import value_faults


class _Objective(TypedDict):
    metric: str
    direction: Literal["maximize", "minimize"]


class _Score(TypedDict):
    direction: Literal["maximize", "minimize"]
    unit: str
    label: str
    about: NotRequired[str]
    protocol: NotRequired[str]
    shown: NotRequired[bool]


class _Selection(TypedDict):
    metric: str
    class_name: str
    protocol: str
    direction: Literal["maximize", "minimize"]


class _Sequential(TypedDict):
    at_least: int
    looks: list[int]


class _Earlier(TypedDict):
    margin: dict[str, float]
    until: str


class _Reported(TypedDict):
    method: str
    metric: str
    value: float
    data: str
    source: str


class _Definition(TypedDict, total=False):
    schema_version: int
    study: str
    question: str
    kind: Literal["ablation", "search"]
    baseline: dict[str, Any]
    not_default: list[str]
    scores: dict[str, _Score]
    scores_at_test: dict[str, _Score]
    selection: _Selection
    objectives: list[_Objective]
    margin: dict[str, float]
    margin_before: list[_Earlier]
    sequential: _Sequential
    reported: list[_Reported]
    baseline_arm: str
    arms: dict[str, dict[str, Any]]
    seeds: list[int]
    tune: dict[str, dict[str, list[Any]]] | None
    tune_seed: int
    folds: int
    weights: str
    contrasts: list[tuple[str, str]]
    space: dict[str, str]
    num_samples: int
    conditions: dict[str, dict[str, Any]]
    constraints: list[str]
    finalists: int
    finalist_seeds: list[int]
    chosen: list[int]


_FORM = TypeAdapter(_Definition)


def check_form(definition: Any) -> None:
    """Whether JSON holds the definition of a study.

    Raises:
        ValueError: it holds something else; every field that does is named.
    """
    if not isinstance(definition, dict):
        raise ValueError(f"it holds {str(definition)[:40]!r}, and no study")
    try:
        _FORM.validate_python(definition)
    except ValidationError as error:
        raise ValueError("; ".join(value_faults(error, ""))) from error
    if definition.get("kind") == "search" and "num_samples" not in definition:
        raise ValueError("it is a search without num_samples")
