"""Where Ray Tune takes its next trial from: a list, or Optuna."""

import collections
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search import Searcher

from segtune.changes import Changes, flatten
from segtune.record import BEST
from segtune.spec import Search, Trial


class Listed(Searcher):
    """Hands out given trials, in their order."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        super().__init__()
        self._trials = collections.deque(trials)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial; `FINISHED` after the last."""
        if not self._trials:
            return Searcher.FINISHED  # type: ignore[return-value]  # how Ray spells the end
        return {"trial": self._trials.popleft()}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to learn from a result."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the tables tell what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Never asked for: a study goes on from its tables."""
        raise NotImplementedError


class OptunaSearcher(Searcher):
    """Asks Optuna for configurations and tells it what they reached.

    Made anew from the tables at each launch, so that Optuna and the tables agree. Its journal
    file is for `optuna-dashboard`.
    """

    def __init__(
        self, search: Search, name: str, journal: Path, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Rebuild the study.

        Args:
            search: what is searched.
            name: of the study.
            journal: the journal file; one that is there is replaced.
            rows: `trials` rows of the study, those with an `objectives` entry are finished:
                a mapping of metric to value.
        """
        super().__init__()
        self._search = search
        known = {int(r["number"]): r for r in rows}
        self._drawn = collections.Counter(r["changes"] for r in rows)
        self._unfinished = collections.deque(
            self._again(r) for _, r in sorted(known.items()) if "objectives" not in r
        )
        self._study = rebuild(search, name, journal, known)
        self._running: dict[str, int] = {}
        self._handed_out = len(known) - len(self._unfinished)
        current = flatten(search.baseline)
        first = {field: current[field] for field in search.space}
        if not self._drawn[_key(first)]:
            self._study.enqueue_trial(first)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """An unfinished trial of an earlier launch, else a new one; `FINISHED` after the last."""
        if self._handed_out >= self._search.num_samples:
            return Searcher.FINISHED  # type: ignore[return-value]  # how Ray spells the end
        trial = self._unfinished.popleft() if self._unfinished else self._ask()
        self._handed_out += 1
        assert trial.number is not None
        self._running[trial_id] = trial.number
        return {"trial": trial}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna the values at the best epoch, or that there are none."""
        number = self._running.pop(trial_id)
        metrics = [f"{BEST}{o.metric}" for o in self._search.objectives]
        values = [result.get(m) for m in metrics] if result and not error else []
        numbers = [float(v) for v in values if v is not None and v == v]
        if len(numbers) == len(metrics):
            self._study.tell(number, numbers)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the study is rebuilt from the tables."""

    def restore(self, checkpoint_path: str) -> None:
        """Never asked for: a study goes on from its tables."""
        raise NotImplementedError

    def _ask(self) -> Trial:
        asked = self._study.ask(dict(self._search.space))
        key = _key(asked.params)
        trial = self._search.trial(asked.number, asked.params, self._drawn[key])
        self._drawn[key] += 1
        asked.set_user_attr("trial_id", trial.trial_id)
        asked.set_user_attr("seed", trial.seed)
        return trial

    def _again(self, row: Mapping[str, Any]) -> Trial:
        repeats = int(row["seed"]) - self._search.seed
        return self._search.trial(int(row["number"]), json.loads(row["changes"]), repeats)


def rebuild(
    search: Search, name: str, journal: Path, known: Mapping[int, Mapping[str, Any]]
) -> optuna.Study:
    """An Optuna study that says what the tables say.

    Args:
        search: what is searched.
        name: of the study.
        journal: the journal file; written beside and renamed over the old one.
        known: Optuna trial number -> `trials` row (see `OptunaSearcher`). A number that is
            missing between others was lost before it wrote a row: it stands as failed, and
            another trial takes its place.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    unfinished = journal.with_name(f".{journal.name}.{os.getpid()}")
    study = _create(search, name, unfinished, len(known))
    for number in range(max(known, default=-1) + 1):
        study.add_trial(_frozen(search, known.get(number)))
    os.replace(unfinished, journal)
    return optuna.load_study(
        study_name=name, storage=_storage(journal), sampler=_sampler(search, len(known))
    )


def _create(search: Search, name: str, path: Path, launches: int) -> optuna.Study:
    path.unlink(missing_ok=True)
    study = optuna.create_study(
        study_name=name,
        storage=_storage(path),
        sampler=_sampler(search, launches),
        directions=[o.direction for o in search.objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # else they are "Objective 0" and "1"
        study.set_metric_names([o.metric for o in search.objectives])
    return study


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def _sampler(search: Search, trials: int) -> BaseSampler:
    """A launch that goes on must not draw the first launch's configurations again."""
    sampler: BaseSampler = getattr(optuna.samplers, search.sampler)(seed=search.seed + trials)
    return sampler


def _frozen(search: Search, row: Mapping[str, Any] | None) -> FrozenTrial:
    if row is None:
        return create_trial(state=TrialState.FAIL)
    params: Changes = json.loads(row["changes"])
    distributions: dict[str, BaseDistribution] = {f: search.space[f] for f in params}
    attributes = {"trial_id": row["trial_id"], "seed": int(row["seed"])}
    objectives = row.get("objectives")
    values = [objectives.get(o.metric) for o in search.objectives] if objectives else None
    state = TrialState.COMPLETE
    if values is None:
        state = TrialState.RUNNING
    elif any(v is None or v != v for v in values):
        state, values = TrialState.FAIL, None
    return create_trial(
        state=state,
        values=values,
        params=dict(params),
        distributions=distributions,
        user_attrs=attributes,
    )


def _key(changes: Changes) -> str:
    return json.dumps(dict(changes), sort_keys=True)
