"""A study as a YAML file: the same fields as in Python, read and checked by pydantic.

    kind: ablation
    question: Is a low-rank way of fine-tuning worth more than a frozen encoder?
    baseline:
      preset: nano
      set: {method: frozen}
    baseline_arm: frozen
    arms:
      lora: {method: lora, method.rank: 8}
    seeds: [0, 1, 2]

`segtune show --schema` prints the JSON Schema, for editors that complete and check.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from segtune.study.overrides import SpecError, apply, value_faults
from segtune.study.sequential import Sequential
from segtune.study.space import When
from segtune.study.spec import (
    Ablation,
    AtLeast,
    AtMost,
    Constraint,
    Objective,
    Search,
    Study,
    Weights,
)
from segtune.study.stopping import Asha, Direction, MedianStopping


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, and reads `1e-3` as a number, as YAML 1.2 does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As it is, but for keys that stand twice."""
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


class Baseline(_Strict):
    """A preset of segcore's and what is changed in it. A list stands for a tuple."""

    preset: Literal[
        "nano",
        "paper",
        "paper_as_coded",
        "recommended",
        "polyps_nano",
        "imedsam_nano",
        "imedsam_paper",
        "imedsam_as_coded",
        "imedsam_recommended",
        "weft_nano",
        "weft_paper",
        "weft_as_coded",
        "weft_recommended",
        "unet_nano",
        "unet_paper",
        "depth_unet_nano",
        "depth_unet_paper",
        "segformer_paper",
        "sam2_unet_nano",
        "sam2_unet_paper",
        "d2gpland_nano",
        "d2gpland_paper",
    ]
    arguments: dict[str, Any] = {}
    """Of the preset: `data_root`, `sam2_checkpoint`."""
    set: dict[str, Any] = {}
    """Dotted field -> value."""


class Condition(_Strict):
    """A field has a meaning only beside some values of another."""

    field: str
    values: list[Any]


class IntRange(_Strict):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Condition | None = None


class FloatRange(_Strict):
    """Numbers from `low` to `high`."""

    type: Literal["float"]
    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: Condition | None = None


class Choices(_Strict):
    """One of several values."""

    type: Literal["categorical"]
    choices: list[bool | int | float | str | None]
    when: Condition | None = None


Range = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]


class ObjectiveFields(_Strict):
    """As `segtune.Objective`."""

    metric: str
    direction: Direction


class Limit(_Strict):
    """As `segtune.AtMost` or `segtune.AtLeast`."""

    metric: str
    at_most: float | None = None
    at_least: float | None = None


class AshaFields(_Strict):
    """As `segtune.Asha`."""

    name: Literal["asha"]
    metric: str | None = None
    grace_period: int = 1
    reduction_factor: float = 3.0


class MedianFields(_Strict):
    """As `segtune.MedianStopping`."""

    name: Literal["median"]
    metric: str | None = None
    grace_period: int = 1
    min_trials: int = 3


class SequentialFields(_Strict):
    """As `segtune.Sequential`."""

    at_least: int = 3
    at_most: int = 20
    first: int = 0


Seeds = Annotated[
    Annotated[list[int], Tag("")] | Annotated[SequentialFields, Tag(" ")],
    Discriminator(lambda given: " " if isinstance(given, dict | SequentialFields) else ""),
]
"""A list, or `Sequential`."""


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
"""Two arms."""


class AblationFields(_Strict):
    """As `segtune.Ablation`."""

    kind: Literal["ablation"]
    question: str
    baseline: Baseline
    arms: dict[str, dict[str, Any]]
    seeds: Seeds
    baseline_arm: str = "baseline"
    tune: dict[str, dict[str, list[Any]]] = {}
    tune_each_arm: dict[str, list[Any]] = {}
    tune_seed: int = 1000
    folds: int | None = None
    margin: dict[str, float] = {}
    weights: Weights = "images"
    contrasts: list[Pair] = []


class SearchFields(_Strict):
    """As `segtune.Search`."""

    kind: Literal["search"]
    question: str
    baseline: Baseline
    space: dict[str, Range]
    num_samples: int
    objectives: list[ObjectiveFields] = []
    constraints: list[Limit] = []
    sampler: str = "TPESampler"
    sampler_options: dict[str, Any] = {}
    scheduler: Annotated[AshaFields | MedianFields, Field(discriminator="name")] | None = None
    seed: int = 0
    finalists: int = 0
    finalist_seeds: Seeds = []
    margin: dict[str, float] = {}


_FIELDS: TypeAdapter[AblationFields | SearchFields] = TypeAdapter(
    Annotated[AblationFields | SearchFields, Field(discriminator="kind")]
)


def schema() -> dict[str, Any]:
    """JSON Schema of a study's file."""
    return _FIELDS.json_schema()


def read(path: Path) -> Study:
    """The study of a YAML file.

    Raises:
        SpecError: it is no YAML, or a field is unknown, missing or wrong; all of them.
    """
    try:
        values = yaml.load(path.read_text(), _Loader)
        fields = _FIELDS.validate_python(values)
        if isinstance(fields, AblationFields):
            return _ablation(fields)
        return _search(fields)
    except yaml.YAMLError as error:
        raise SpecError([f"{path} is no YAML: {error}"]) from error
    except SpecError as error:
        raise SpecError([f"{path}: {fault}" for fault in error.faults]) from error
    except (ValidationError, ValueError) as error:
        raise SpecError([f"{path}: {fault}" for fault in value_faults(error, "")]) from error


def _ablation(fields: AblationFields) -> Ablation:
    return Ablation(
        question=fields.question,
        baseline=_baseline(fields.baseline),
        arms={arm: _values(changes) for arm, changes in fields.arms.items()},
        seeds=_seeds(fields.seeds),
        baseline_arm=fields.baseline_arm,
        tune={arm: _values(candidates) for arm, candidates in fields.tune.items()},
        tune_each_arm=_values(fields.tune_each_arm),
        tune_seed=fields.tune_seed,
        folds=fields.folds,
        margin=fields.margin,
        weights=fields.weights,
        contrasts=tuple((arm, reference) for arm, reference in fields.contrasts),
    )


def _seeds(fields: list[int] | SequentialFields) -> tuple[int, ...] | Sequential:
    if isinstance(fields, SequentialFields):
        return Sequential(at_least=fields.at_least, at_most=fields.at_most, first=fields.first)
    return tuple(fields)


def _search(fields: SearchFields) -> Search:
    return Search(
        question=fields.question,
        baseline=_baseline(fields.baseline),
        space={name: _distribution(of) for name, of in fields.space.items()},
        num_samples=fields.num_samples,
        objectives=tuple(Objective(o.metric, o.direction) for o in fields.objectives),
        constraints=tuple(map(_constraint, fields.constraints)),
        sampler=fields.sampler,
        sampler_options=fields.sampler_options,
        scheduler=_scheduler(fields.scheduler),
        seed=fields.seed,
        finalists=fields.finalists,
        finalist_seeds=_seeds(fields.finalist_seeds),
        margin=fields.margin,
    )


def _baseline(baseline: Baseline) -> Any:
    from segcore import presets  # torch

    try:
        preset = getattr(presets, baseline.preset)(**_values(baseline.arguments))
    except TypeError as error:
        raise SpecError([f"baseline.arguments: {error}"]) from error
    return apply(preset, _values(baseline.set))


def _values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _tuples(value) for name, value in values.items()}


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return _values(value)
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _distribution(of: IntRange | FloatRange | Choices) -> BaseDistribution | When:
    found: BaseDistribution
    if isinstance(of, IntRange):
        found = IntDistribution(of.low, of.high, log=of.log, step=of.step)
    elif isinstance(of, FloatRange):
        found = FloatDistribution(of.low, of.high, log=of.log, step=of.step)
    else:
        found = CategoricalDistribution(of.choices)
    return found if of.when is None else When(of.when.field, tuple(of.when.values), found)


def _constraint(limit: Limit) -> Constraint:
    if limit.at_most is not None and limit.at_least is None:
        return AtMost(limit.metric, limit.at_most)
    if limit.at_least is not None and limit.at_most is None:
        return AtLeast(limit.metric, limit.at_least)
    raise SpecError([f"constraints: give {limit.metric} one of at_most and at_least"])


def _scheduler(fields: AshaFields | MedianFields | None) -> Asha | MedianStopping | None:
    if fields is None:
        return None
    options = fields.model_dump(exclude={"name"})
    return Asha(**options) if isinstance(fields, AshaFields) else MedianStopping(**options)
