"""What a study is: frozen values that depend on no machine and no clock.

The configuration of a trial may be any frozen dataclass.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution
from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass as checked

from segtune.study.arms import changes_between, leave_out, unique_name
from segtune.study.overrides import Changes, SpecError, apply, flatten, resolve_locations
from segtune.study.scores import headline, scores
from segtune.study.sequential import Sequential, seeds_of
from segtune.study.space import When, active
from segtune.study.stopping import Direction, Scheduler
from segtune.study.trial import Role, Trial, arm_trial_id

Weights = Literal["images", "patients"]

_STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)


def _configuration(value: Any) -> Any:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ValueError("give a configuration, such as nano()")
    return value


Configuration = Annotated[Any, AfterValidator(_configuration)]
"""Of a training: a value of any frozen dataclass."""


@checked(frozen=True, config=_STRICT)
class Objective:
    """A metric (macro, on val, at the best epoch) or a cost (see `costs.py`) that a search
    improves."""

    metric: str
    direction: Direction


def _exactly(limit: float) -> str:
    """A limit as it can be read back: the report holds trials against what is written."""
    return repr(limit).removesuffix(".0")


@checked(frozen=True, config=_STRICT)
class AtMost:
    """A ceiling: `AtMost("peak_memory_bytes", 8e9)`. Optuna's samplers that know constraints stay
    away from where trials broke it; a trial that does is never among the best."""

    metric: str
    """A cost or a metric, as in `Objective`."""
    limit: float

    def __str__(self) -> str:
        return f"{self.metric} at most {_exactly(self.limit)}"

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit; zero or less is allowed."""
        return value - self.limit


@checked(frozen=True, config=_STRICT)
class AtLeast:
    """A floor, the counterpart of `AtMost`: `AtLeast("dice", 0.5)`."""

    metric: str
    limit: float

    def __str__(self) -> str:
        return f"{self.metric} at least {_exactly(self.limit)}"

    def excess(self, value: float) -> float:
        """How far a value is below the limit; zero or less is allowed."""
        return self.limit - value


Constraint = AtMost | AtLeast


@checked(frozen=True, config=_STRICT)
class Reported:
    """One number of a paper: a report shows it apart, as reported and not reproduced."""

    method: str
    metric: str
    value: float
    data: str
    """What it was measured on."""
    source: str
    """Where it can be looked up."""


def headline_objectives(baseline: Any) -> tuple[Objective, ...]:
    """The scores that stand for a training, as what is to be improved: mostly `dice`, `assd`."""
    kinds = scores(baseline)
    return tuple(Objective(name, kinds[name].direction) for name in headline(kinds))


@checked(frozen=True, kw_only=True, config=_STRICT)
class Ablation:
    """A baseline and named arms that differ from it, with the same seeds for all."""

    question: str
    baseline: Configuration
    """Configuration that every arm changes."""
    arms: Mapping[str, Changes]
    """The other arms: what each changes."""
    seeds: tuple[int, ...] | Sequential
    """The same for all arms; `Sequential` goes on with the arms whose verdict is open."""
    baseline_arm: str = "baseline"
    """The baseline's name among the arms."""
    folds: int | None = None
    """Cross-validation: each arm trains with each seed once for each of so many parts of the
    patients of train and val (`TrainConfig.fold`). A seed's scores are means over its folds. None:
    the data set's own train and val. Tuning always has those."""
    tune: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    """Arm -> field -> values: each combination is tried first, with `tune_seed`, and the best on
    val is what the arm's seeds then run with."""
    tune_each_arm: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Field -> values: as `tune`, the same candidates for every arm, the baseline too, so that all
    have the same budget."""
    tune_seed: int = 1000
    margin: Mapping[str, float] = field(default_factory=dict)
    """Score -> the largest difference that does not matter, in its unit, for the scores that arms
    are compared in: `{"dice": 0.01, "assd": 1.0}`. With it the report can say that an arm is as
    good as the baseline, or no worse. Set it before anything runs: a later change is on record."""
    weights: Weights = "images"
    """What weighs alike in test scores: `images` asks how good an arm is on an image, `patients` on
    a patient (of each patient the mean over its images). The second is surer where few patients
    have most of the images. The best epoch is chosen over images of val either way."""
    contrasts: tuple[tuple[str, str], ...] = ()
    """Pairs that the report compares besides each arm with the baseline, `(arm, reference)`:
    `(("srft_galore", "galore"),)`. Only what is declared here is tested, all pairs of one reference
    together."""
    reported: tuple[Reported, ...] = ()
    """Papers' numbers of the same comparison, for the report."""

    @classmethod
    def leave_one_out(
        cls, *, question: str, baseline: Any, parts: Mapping[str, Changes], seeds: tuple[int, ...]
    ) -> "Ablation":
        """Which part is missed most? The arm `full` has every part, and `no-<part>` all but one.

        Args:
            question: as of `Ablation`.
            baseline: the configuration without any part.
            parts: name -> what it changes.
            seeds: as of `Ablation`.

        Raises:
            SpecError: parts that overlap, or can't be together or apart.
        """
        full, arms = leave_out(baseline, parts)
        return cls(question=question, baseline=full, baseline_arm="full", arms=arms, seeds=seeds)

    @classmethod
    def around(
        cls, search: "Search", best: Changes, *, seeds: tuple[int, ...], question: str | None = None
    ) -> "Ablation":
        """What of a search's best configuration matters? Go back to the default, field by field.

        The arm `best` has the configuration that was found; each other one goes back with one
        searched field to what the search's baseline has (a field that goes with it alone goes back
        too), and `default` with all of them.

        Args:
            search: what was searched.
            best: the trial's changes, as `finalists.best_changes` reads them.
            seeds: fresh ones: those of the search have chosen the configuration.
            question: None makes one up.

        Raises:
            SpecError: the trial has the baseline's configuration, or is none of this search.
        """
        if unknown := sorted(best.keys() - search.space.keys()):
            raise SpecError([f"{', '.join(unknown)}: not in the space of this search"])
        whole = apply(search.baseline, best)
        arms: dict[str, Changes] = {}
        for name in best:
            default = search.default(name, best)
            back = apply(search.baseline, active(search.space, {**best, name: default}))
            if changes := changes_between(whole, back):
                arms[unique_name(name, default, arms)] = changes
        if not arms:
            raise SpecError(["the trial has the baseline's configuration: nothing to go back to"])
        if (everything := changes_between(whole, search.baseline)) not in arms.values():
            arms["default"] = everything
        question = question or f"What of the best configuration matters? ({search.question})"
        return cls(question=question, baseline=whole, baseline_arm="best", arms=arms, seeds=seeds)

    def all_arms(self) -> dict[str, Changes]:
        """The baseline first, then the others."""
        return {self.baseline_arm: {}, **self.arms}

    @property
    def sequential(self) -> Sequential | None:
        """How seeds are added; None where they are all given."""
        return self.seeds if isinstance(self.seeds, Sequential) else None

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds; of `Sequential` ones all that may be trained."""
        return seeds_of(self.seeds)

    def tuning_trials(self) -> Iterator[Trial]:
        """Every candidate of every arm that is tuned."""
        for arm, changes in self.all_arms().items():
            for number, candidate in enumerate(self.candidates(arm)):
                yield self._trial(f"{arm}-t{number}", "tune", arm, candidate, changes, number)

    def candidates(self, arm: str) -> list[Changes]:
        """The values that an arm may be tuned to; none where it is not tuned."""
        values = self.tuned_over(arm)
        if not values:
            return []
        return [
            dict(zip(values, combination, strict=True))
            for combination in itertools.product(*values.values())
        ]

    def tuned_over(self, arm: str) -> Mapping[str, tuple[Any, ...]]:
        """Field -> the values that an arm may be tuned to; empty where it is not tuned."""
        return self.tune.get(arm, self.tune_each_arm)

    def trials(self, tuned: Mapping[str, Changes]) -> Iterator[Trial]:
        """Every arm with every seed and fold, seed by seed, so that pairs are complete early. Of
        `Sequential` seeds these are the most that may be trained.

        Args:
            tuned: arm -> the candidate that its tuning chose.
        """
        folds = (None,) if self.folds is None else range(self.folds)
        for seed, fold in itertools.product(self.all_seeds, folds):
            for arm, changes in self.all_arms().items():
                chosen, name = tuned.get(arm, {}), arm_trial_id(arm, seed, fold)
                yield self._trial(name, "arm", arm, chosen, changes, None, seed, fold)

    def _trial(
        self,
        trial_id: str,
        role: Role,
        arm: str,
        chosen: Changes,
        changes: Changes,
        number: int | None,
        seed: int | None = None,
        fold: int | None = None,
    ) -> Trial:
        seed = self.tune_seed if seed is None else seed
        both = {**changes, **chosen}
        place = {} if fold is None else {"fold": (fold, self.folds)}
        config = resolve_locations(apply(self.baseline, {**both, **place, "seed": seed}))
        return Trial(trial_id, role, seed, config, both, arm, number, fold)


@checked(frozen=True, kw_only=True, config=_STRICT)
class Search:
    """A space of changes to a baseline, searched by Optuna; the baseline is its first trial."""

    question: str
    baseline: Configuration
    space: Mapping[str, BaseDistribution | When]
    """Dotted field -> where its values may lie; `When` for a field that goes with another."""
    num_samples: int
    objectives: tuple[Objective, ...] = ()
    """The first one also says which of two trials is the better. Empty takes the baseline's own:
    what chooses the best epoch, and the first score of another unit (`dice` and `assd` of most)."""
    constraints: tuple[Constraint, ...] = ()
    sampler: str = "TPESampler"
    """Any sampler of `optuna.samplers` that takes a seed. `BruteForceSampler` goes through every
    combination, once."""
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    """What else the sampler is made with: `{"n_startup_trials": 20}`."""
    scheduler: Scheduler | None = None
    """What stops trials early: `Asha()`, `MedianStopping()`, or nothing."""
    seed: int = 0
    """Of the trainings; the sampler's is drawn from it and the number of trials so far."""
    finalists: int = 0
    """How many of the best configurations are trained anew once every trial is done, with each of
    `finalist_seeds`, and tested once. Of the trials that finished within the constraints: first
    those on the Pareto front of the objectives, then the others, both in the order of the first
    objective (the earlier of equals); a configuration that was drawn twice counts once."""
    finalist_seeds: tuple[int, ...] | Sequential = ()
    """Fresh ones: those of the search have chosen the configurations. `Sequential` goes on with the
    finalists whose verdict against the baseline is open."""
    margin: Mapping[str, float] = field(default_factory=dict)
    """As of `Ablation`. The finalists are compared with the baseline, the search's first trial,
    where it is among them; with a margin or `Sequential` seeds it is trained anew with them though
    it was not among the best."""

    def __post_init__(self) -> None:
        if not self.objectives:
            object.__setattr__(self, "objectives", headline_objectives(self.baseline))

    def trial(self, number: int, changes: Changes, repeats: int) -> Trial:
        """The trial of Optuna's parameters.

        Args:
            number: Optuna's trial number.
            changes: the parameters.
            repeats: how often the same were drawn before; each time takes another seed.
        """
        seed = self.seed + repeats
        config = resolve_locations(apply(self.baseline, {**changes, "seed": seed}))
        return Trial(
            f"t{number}", "search", seed, config, dict(changes), None, number, None, repeats
        )

    def finalist_trials(self, chosen: Mapping[int, Changes]) -> Iterator[Trial]:
        """Every finalist with every seed, seed by seed: `t5-s101` trains trial t5's changes. Of
        `Sequential` seeds these are the most that may be trained.

        Args:
            chosen: number of the search trial -> its changes.
        """
        for seed in self.all_finalist_seeds:
            for number, changes in chosen.items():
                config = resolve_locations(apply(self.baseline, {**changes, "seed": seed}))
                name = f"t{number}"
                yield Trial(
                    f"{name}-s{seed}", "finalist", seed, config, dict(changes), name, number
                )

    @property
    def sequential(self) -> Sequential | None:
        """How seeds are added; None where they are all given."""
        return self.finalist_seeds if isinstance(self.finalist_seeds, Sequential) else None

    @property
    def all_finalist_seeds(self) -> tuple[int, ...]:
        """The finalists' seeds; of `Sequential` ones all that may be trained."""
        return seeds_of(self.finalist_seeds)

    @property
    def keeps_baseline(self) -> bool:
        """Whether the baseline is trained anew beside the finalists in any case."""
        return bool(self.margin) or self.sequential is not None

    def first(self) -> dict[str, Any]:
        """The baseline's values of the fields that it has."""
        current = flatten(self.baseline)
        return active(self.space, {f: current[f] for f in self.space if f in current})

    def default(self, name: str, others: Changes) -> Any:
        """A searched field's value where nothing changes it.

        Args:
            name: the field.
            others: a trial's values of other fields. They matter where the field depends on
                them and the baseline does not have it.
        """
        needed: dict[str, Any] = {}
        when = self.space[name]
        while isinstance(when, When):
            needed[when.field] = others[when.field]
            when = self.space[when.field]
        return flatten(apply(self.baseline, needed))[name]


Study = Ablation | Search
