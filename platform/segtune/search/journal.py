"""Optuna's study of a search, made from the tables, and the journal file that shows it.

A search depends on its tables alone. The journal is for `optuna-dashboard`: while a search runs,
Optuna's log is in memory, and the file follows as far as the disk lets it.
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from segtune.search.trial_history import ENDED, LearningCurve, PastTrial, optuna_outcome
from segtune.study.samplers import sampler
from segtune.study.space import distribution
from segtune.study.spec import Search

JOURNAL = "optuna.journal"
"""Name of the file that `optuna-dashboard` opens."""


class Journal(BaseJournalBackend):
    """Optuna's log in memory, which a file follows from the first `write` on."""

    def __init__(self, path: Path) -> None:
        self._path, self._logs = path, list[dict[str, Any]]()
        self._follows, self._is_behind = False, False

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """The entries from a number on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries. That the file takes none is said once, and its next entry writes it anew."""
        self._logs += json.loads(json.dumps(logs))  # as they would come back from the file
        if not self._follows:
            return
        try:
            if self._is_behind:
                self.write()
            else:
                JournalFileBackend(str(self._path)).append_logs(logs)
        except (OSError, RuntimeError) as error:  # a RuntimeError: of its lock
            if not self._is_behind:
                print(f"segtune: can't write {self._path}: {error}", file=sys.stderr)
            self._is_behind = True

    def write(self) -> None:
        """Write the file beside the old one and rename it over it, and keep it up to date.

        Raises:
            OSError: the disk does not take it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            unfinished.unlink(missing_ok=True)
            JournalFileBackend(str(unfinished)).append_logs(self._logs)
            os.replace(unfinished, self._path)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        self._follows, self._is_behind = True, False


def rebuild(
    search: Search, name: str, journal: Path, past: Sequence[PastTrial], *, retry: bool = False
) -> optuna.Study:
    """An Optuna study with what the tables hold: states, values, intermediate values, user
    attributes and constraints are those that a live one has.

    The tables do not hold, and so a rebuilt study lacks, when Optuna was asked for a trial and told
    of its end, and what a sampler noted for itself (system attributes). The journal holds nothing
    but the objectives at the best epoch: the tables can't be rebuilt from it.

    Args:
        search: what is searched.
        name: of the study.
        journal: the journal file; the one that is there is replaced.
        past: its trials. One that has not ended waits to be asked for again. A number that is
            missing between others was lost before it wrote a row: it stands as failed, and another
            trial takes its place.
        retry: whether failed trials wait to be asked for again too.

    Raises:
        OSError: the disk does not take the journal.
    """
    log = Journal(journal)
    study = _study(search, name, log, past, retry=retry)
    log.write()
    return study


def correct(search: Search, name: str, journal: Path, past: Sequence[PastTrial]) -> None:
    """Write the journal of a search anew where it says something else than the tables: a run that
    was killed after a trial's last row has not told it.

    Raises:
        OSError: the disk does not take the journal.
    """
    log = Journal(journal)
    wanted = _study(search, name, log, past, retry=False)
    if _content(wanted) != _content_of_file(name, journal):
        log.write()


def _study(
    search: Search, name: str, log: Journal, past: Sequence[PastTrial], *, retry: bool
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = {p.number: p for p in past}
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(log),
        sampler=_sampler(search, len(known)),
        directions=[o.direction for o in search.objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # else they are "Objective 0" and "1"
        study.set_metric_names([o.metric for o in search.objectives])
    for number in range(max(known, default=-1) + 1):
        trial = known.get(number)
        if trial is None:
            study.add_trial(create_trial(state=TrialState.FAIL))
        elif trial.status in ENDED or (trial.status == "failed" and not retry):
            study.add_trial(_frozen(search, trial))
        else:
            study.enqueue_trial(dict(trial.changes), user_attrs=_identity(trial))
    return study


def _content(study: optuna.Study) -> list[tuple[Any, ...]]:
    """Trial by trial, what the tables say too."""
    return [
        (t.state, t.values, t.params, t.user_attrs, t.intermediate_values, t.constraints)
        for t in study.get_trials(deepcopy=False)
    ]


def _content_of_file(name: str, journal: Path) -> list[tuple[Any, ...]] | None:
    """The same of a journal file; None where there is none that can be read."""
    if not journal.is_file():
        return None
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return _content(optuna.load_study(study_name=name, storage=storage))
    except Exception:  # whatever is wrong with it, it is to be written anew
        return None


def intermediate(search: Search, curve: LearningCurve) -> dict[int, float]:
    """Epoch -> value of the one objective; nothing for several, of which Optuna takes none."""
    if len(search.objectives) > 1:
        return {}
    metric = search.objectives[0].metric
    found = {epoch: at.get(metric, math.nan) for epoch, at in curve.at_best.items()}
    return {epoch: value for epoch, value in found.items() if not math.isnan(value)}


def _sampler(search: Search, trials: int) -> BaseSampler:
    """The seed depends on the number of trials, so that a later launch draws new configurations."""
    return sampler(search.sampler, search.sampler_options, search.seed + trials)


def _frozen(search: Search, past: PastTrial) -> FrozenTrial:
    outcome = optuna_outcome(
        search, past.values, stopped_epoch=past.stopped_epoch, error=past.error
    )
    reported = intermediate(search, past.curve)
    values = outcome.values
    if outcome.state == TrialState.PRUNED and reported:
        values = (reported[max(reported)],)  # as Optuna itself does
    return create_trial(
        state=outcome.state,
        values=values,
        params=dict(past.changes),
        distributions={f: distribution(search.space, f) for f in past.changes},
        user_attrs={**_identity(past), **outcome.attributes},
        intermediate_values=reported,
        constraints=dict(outcome.constraints),
    )


def _identity(past: PastTrial) -> dict[str, Any]:
    return {"trial_id": past.trial_id, "seed": past.seed}
