"""A study's rows as the report uses them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from segtune.results import data_facts, label_noise, study_file, tables
from segtune.results.data_facts import SetFacts
from segtune.results.folds import mean_over_folds
from segtune.results.integrity.damage import lost, set_apart
from segtune.results.integrity.parquet_files import DamagedTable
from segtune.results.label_noise import LabelNoise
from segtune.results.patient_means import patients_alike
from segtune.results.reported import read_reported
from segtune.results.spending import costs_of_trials
from segtune.results.storage import Place, Storage
from segtune.study.definition import (
    AT_TEST,
    CONTRASTS,
    FOLDS,
    MARGIN,
    SCORES,
    SELECTION,
    SEQUENTIAL,
    WEIGHTS,
)
from segtune.study.scores import ScoreKind, Selection
from segtune.study.spec import Reported, Weights

DIRTY = "dirty"
NO_WEIGHTS = "none"
"""The `weights_hash` of a system that begins from no weights."""
MACRO = "macro"
POOLED = "pooled"
CLASS_ORDER = ("ridge", "silhouette", "ligament")
"""The order in which known classes are shown; others follow by name."""
DEFAULT_OBJECTIVES = (
    {"metric": "dice", "direction": "maximize"},
    {"metric": "assd", "direction": "minimize"},
)


@dataclass(frozen=True)
class RecordedObjective:
    """An objective as `study.json` has it: a score or a cost, and which way is better."""

    metric: str
    maximize: bool


@dataclass(frozen=True, eq=False)
class StudyRows:
    """Everything that is known of one study."""

    name: str
    definition: Mapping[str, Any]
    """`study.json`; empty where there is none."""
    trials: pd.DataFrame
    """With the status `damaged` where results are lost (see `results.integrity.damage`), and
    `dirty` for a trial that finished from uncommitted code where others of its role finished from a
    commit: see `set_dirty_apart`. `cost` is that of all attempts of a trial, in `currency`; NaN
    where no price was given."""
    steps: pd.DataFrame
    scores: pd.DataFrame
    images: pd.DataFrame
    pictures: pd.DataFrame
    reported: tuple[Reported, ...] = ()
    """Papers' numbers: shown, in no statistic."""
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Scores of what was evaluated after the study had run; empty where nothing was."""
    data: tuple[SetFacts, ...] = ()
    """What its data hold; empty where nobody has counted."""
    label_noise: LabelNoise | None = None
    """What annotators of its test images disagree by; None where nobody has asked."""

    @property
    def kind(self) -> str:
        """`ablation` or `search`; where `study.json` is missing, `search` if a trial is of one."""
        defined = self.definition.get("kind")
        if defined:
            return str(defined)
        return "search" if (self.trials["role"] == "search").any() else ""

    @property
    def objectives(self) -> tuple[RecordedObjective, ...]:
        """Scores on val and, in a search, costs; the first one ranks the trials."""
        given: Sequence[Mapping[str, str]] = self.definition.get("objectives") or DEFAULT_OBJECTIVES
        return tuple(RecordedObjective(o["metric"], o["direction"] == "maximize") for o in given)

    @property
    def folds(self) -> int | None:
        """Parts of a cross-validation, of which each trial here is the mean; None: none."""
        folds: int | None = self.definition.get(FOLDS)
        return folds

    def may_be_of(self, content_hash: str) -> bool:
        """Whether trials ran with a data set of this hash, as far as that can be told: of one that
        is taken in parts (folds, a share of train) they record the hashes of the parts."""
        hashes = {str(h) for h in self.trials["data_hash"].dropna()}
        share = (self.definition.get("baseline") or {}).get("train_share", 1.0)
        return not hashes or content_hash in hashes or self.folds is not None or share != 1.0

    @property
    def margin(self) -> Mapping[str, float]:
        """Score -> the largest difference that does not matter; empty where none was said."""
        found: Mapping[str, float] = self.definition.get(MARGIN) or {}
        return found

    @property
    def weights(self) -> Weights:
        """What weighs alike in test scores."""
        found: Weights = self.definition.get(WEIGHTS, "images")
        return found

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which verdicts are looked at, where arms get more seeds as long as
        they need them; empty where all have the same seeds from the start."""
        return tuple((self.definition.get(SEQUENTIAL) or {}).get("looks") or ())

    @property
    def contrasts(self) -> Sequence[tuple[str, str]]:
        """Pairs of arms that are compared besides each arm with the baseline."""
        return [(arm, reference) for arm, reference in self.definition.get(CONTRASTS) or ()]

    @property
    def first_score(self) -> RecordedObjective:
        """The first objective that is a score, not a cost: what curves show."""
        known = set(self.scored["metric"])
        there = (o for o in self.objectives if o.metric in known)
        return next(there, self.objectives[0])

    @cached_property
    def score_kinds(self) -> Mapping[str, ScoreKind]:
        """What `study.json` says of the scores of every epoch on val, by name; empty where it says
        nothing."""
        return self._kinds(SCORES)

    @cached_property
    def all_score_kinds(self) -> Mapping[str, ScoreKind]:
        """The same, and then the scores that test alone has."""
        return {**self.score_kinds, **self._kinds(AT_TEST)}

    def _kinds(self, key: str) -> dict[str, ScoreKind]:
        defined: Mapping[str, Any] = self.definition.get(key) or {}
        return {name: ScoreKind(**kind) for name, kind in defined.items()}

    @property
    def selection(self) -> Selection | None:
        """What chooses the best epoch on val; None where `study.json` does not say."""
        defined = self.definition.get(SELECTION)
        return None if defined is None else Selection(**defined)

    @property
    def scoring(self) -> Mapping[str, Any]:
        """The fields of the definition that say what is scored, and what chooses by it."""
        keys = ("objectives", SCORES, AT_TEST, SELECTION, WEIGHTS)
        return {key: self.definition[key] for key in keys if key in self.definition}

    @property
    def selected_by(self) -> str:
        """What chooses the best epoch, in words: `highest macro dice`,
        `highest pooled dice (stacked)`."""
        found, first = self.selection, self.first_score
        if found is None:
            return f"{'highest' if first.maximize else 'lowest'} macro {first.metric}"
        kind = self.score_kinds.get(found.metric)
        usual = kind is not None and kind.protocol == found.protocol
        protocol = "" if usual else f" ({found.protocol})"
        best = "highest" if found.direction == "maximize" else "lowest"
        return f"{best} {found.class_name} {found.metric}{protocol}"

    @property
    def baseline(self) -> str | None:
        """Name of the arm that the others are compared with."""
        name = self.definition.get("baseline_arm")
        return None if name is None else str(name)

    @property
    def arms(self) -> tuple[str, ...]:
        """The baseline, then the other arms as defined, then any that only the trials know."""
        defined = list(self.definition.get("arms") or {})
        seen = sorted(str(a) for a in self.trials["arm"].dropna().unique())
        first = [self.baseline] if self.baseline is not None else []
        return tuple(dict.fromkeys([*first, *defined, *seen]))

    @cached_property
    def scored(self) -> pd.DataFrame:
        """What was scored: the different splits, metrics, protocols, resolutions and classes."""
        columns = ["split", "metric", "protocol", "resolution", "class_name"]
        columns += ["direction", "unit", "label"]
        return self.scores[columns].drop_duplicates(ignore_index=True)

    @cached_property
    def native_resolution(self) -> str | None:
        """Of the masks that most trials were validated at: what they were trained for.

        None where nothing was validated yet.
        """
        sizes = set(self.scored.loc[self.scored["split"] == "val", "resolution"])
        if len(sizes) < 2:
            return str(sizes.pop()) if sizes else None
        val = self.scores.loc[self.scores["split"] == "val", ["trial_id", "resolution"]]
        trials = val.drop_duplicates().groupby("resolution").size()
        return max(map(str, trials[trials == trials.max()].index))

    @property
    def classes(self) -> tuple[str, ...]:
        """Foreground classes that were scored."""
        found = {str(c) for c in self.scored["class_name"].unique()} - {MACRO, POOLED}
        known = [c for c in CLASS_ORDER if c in found]
        return (*known, *sorted(found - set(known)))

    @cached_property
    def single_images(self) -> pd.DataFrame:
        """The rows of `images` that are of single images, not of whole cases."""
        return self.images[self.images["scope"] != "case"]

    def of(self, role: str, *, arm: str | None = None, status: str | None = None) -> pd.DataFrame:
        """Trials of a role, by seed and number; of one arm and one status where asked. The same
        frame each time: not to be changed."""
        asked = (role, arm, status)
        if asked not in self._chosen:
            rows = self._ordered
            rows = rows[rows["role"] == role]
            if arm is not None:
                rows = rows[rows["arm"] == arm]
            if status is not None:
                rows = rows[rows["status"] == status]
            self._chosen[asked] = rows
        return self._chosen[asked]

    def config(self, arm: str | None) -> Mapping[str, Any] | None:
        """The configuration of an arm's first trial, nested; None where none is on record."""
        texts = [] if arm is None else list(self.of("arm", arm=arm)["config"].dropna())
        found: Mapping[str, Any] | None = json.loads(texts[0]) if texts else None
        return found

    @cached_property
    def _chosen(self) -> dict[tuple[str, str | None, str | None], pd.DataFrame]:
        """What `of` has given: a report asks for the same trials a hundred times."""
        return {}

    @cached_property
    def _ordered(self) -> pd.DataFrame:
        return self.trials.sort_values(["number", "seed", "trial_id"], kind="stable")


def load(storage: Storage, study: str, weights: Weights | None = None) -> StudyRows:
    """Read one study.

    Args:
        storage: the folder that holds the studies' results.
        study: its name.
        weights: what is to weigh alike in its test scores; None: what the study says.

    Raises:
        ValueError: no trial of this name was ever recorded under `storage`, or its papers' numbers
            or what is known of its data cannot be read.
    """
    bad: dict[Place, str] = {}
    trials = tables.read(storage, study, "trials", damaged=bad)
    if len(trials) == 0 and bad:
        raise DamagedTable(study, bad)
    if len(trials) == 0:
        found = ", ".join(studies(storage)) or "none"
        raise ValueError(
            f"no trial of a study {study!r} under {storage}; studies with trials there: {found}"
        )
    definition = study_file.read(storage, study) or {}
    others: tuple[tables.TrialTable, ...] = ("steps", "scores", "images", "pictures")
    read = {name: tables.read(storage, study, name, damaged=bad) for name in others}
    whole = set_apart(trials.to_pandas(), lost(trials.to_pylist(), read["scores"], bad))
    costs = costs_of_trials(tables.read_attempts(storage, study, damaged={}).to_pylist())
    frames = {"trials": set_dirty_apart(whole.assign(cost=whole["trial_id"].map(costs)))}
    frames |= {name: rows.to_pandas() for name, rows in read.items()}
    frames["evaluations"] = tables.read(storage, study, "evaluations").to_pandas()
    if weights is not None:
        definition = {**definition, WEIGHTS: weights}
    if definition.get(WEIGHTS) == "patients":
        frames = patients_alike(frames)
    if (folds := definition.get(FOLDS)) is not None:
        frames = mean_over_folds(frames, folds)
    return StudyRows(
        name=study,
        definition=definition,
        reported=read_reported(Place.of(storage) / study, definition),
        data=data_facts.read(storage, study),
        label_noise=label_noise.read(storage, study),
        **frames,
    )


def set_dirty_apart(trials: pd.DataFrame) -> pd.DataFrame:
    """Keep trials of uncommitted code out of what is averaged.

    Nobody can run such code again, so where clean trials of the same role (arms, search) finished,
    the finished dirty ones get the status `dirty`: counted and shown, in no mean. Where all of them
    are dirty there is nothing better to show: they stay, and the page says so at its top. The rule
    is for a whole study: arms of committed and of uncommitted code are never compared.

    Tuning candidates are left as they are: one of them was chosen, and that is what then ran.
    """
    dirty = trials["git_dirty"].fillna(False).astype(bool) & (trials["status"] == "finished")
    clean = (trials["status"] == "finished") & ~dirty
    apart = trials.copy()
    for role in ("arm", "search", "finalist"):
        of_role = trials["role"] == role
        if (clean & of_role).any():
            apart.loc[dirty & of_role, "status"] = DIRTY
    return apart


def recorded_trials(storage: Storage, study: str) -> list[dict[str, Any]]:
    """The rows of a study's trials.

    Raises:
        ValueError: there are none; the message names the studies that have some.
    """
    rows: list[dict[str, Any]] = tables.read(storage, study, "trials").to_pylist()
    if not rows:
        found = ", ".join(studies(storage)) or "none"
        raise ValueError(
            f"no trials of a study {study!r} under {storage}; studies there: {found}. "
            "Give another one, or the folder of its results with --storage"
        )
    return rows


def studies(storage: Storage) -> list[str]:
    """Names of the studies under a folder that have a trial on record."""
    names = [folder.name for folder in Place.of(storage).folders()]
    begun = {name: tables.table_dir(storage, name, "trials") for name in names}
    return [name for name, folder in begun.items() if folder.is_folder() and folder.files()]
