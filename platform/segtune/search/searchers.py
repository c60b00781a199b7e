"""Where Ray Tune takes its next trial from: a list, or Optuna."""

import collections
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from segtune.results.trial_rows import BEST, SELECTION
from segtune.search.callbacks import survived
from segtune.search.journal import intermediate, rebuild
from segtune.search.schedulers import epoch_metrics
from segtune.search.trial_history import (
    ENDED,
    LearningCurve,
    OptunaOutcome,
    PastTrial,
    begun_curve,
    needs_costs,
    optuna_outcome,
)
from segtune.study.overrides import Changes
from segtune.study.scores import scores
from segtune.study.space import suggest
from segtune.study.spec import Search
from segtune.study.trial import PackedTrial, Trial


class ListSearcher(Searcher):
    """Hands out given trials, in their order."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        super().__init__()
        self._trials = collections.deque(trials)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial; `FINISHED` after the last."""
        if not self._trials:
            return Searcher.FINISHED  # type: ignore[return-value]  # how Ray spells the end
        return {"trial": PackedTrial.of(self._trials.popleft())}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the list does not depend on results."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the tables record which trials are done."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a study resumes from its tables."""
        raise NotImplementedError


class ResultsStore(Protocol):
    """The tables, as a search writes and reads them while it runs."""

    def stopped(self, trial: Trial, epoch: int) -> None:
        """Write down that a scheduler stopped a trial after an epoch."""
        ...

    def failed(self, trial: Trial) -> PastTrial:
        """Mark a trial as failed unless it did so itself; returns what the tables record of it."""
        ...

    def costs(self, trial: Trial) -> Mapping[str, float]:
        """A trial's costs, by name."""
        ...

    def spoilt(self, trial: Trial, cause: str) -> None:
        """Mark a trial as failed although it ended: what it ended with can't be used."""
        ...


class OptunaSearcher(Searcher):
    """Asks Optuna for configurations and tells it their results.

    Optuna's study is rebuilt from the tables at each launch, so that the two agree. The tables are
    written first: if a search is killed between the two writes, the rebuilt study still has
    everything.

    No callback raises: Tune would end the study, or train a trial again that has ended. What goes
    wrong with a trial's result makes that trial fail, and the others go on.
    """

    def __init__(
        self,
        search: Search,
        name: str,
        journal: Path,
        past: Sequence[PastTrial],
        store: ResultsStore,
        stopped: Mapping[str, int],
        curves: dict[str, LearningCurve] | None = None,
    ) -> None:
        """Rebuild the study.

        Args:
            search: what is searched.
            name: of the study.
            journal: the journal file; one that is there is replaced.
            past: the trials of earlier launches.
            store: the tables.
            stopped: trial -> epoch, filled by the scheduler.
            curves: trial -> its scores so far, which the scheduler may fill too.
        """
        super().__init__()
        self._search, self._store, self._stopped = search, store, stopped
        self._curves = {} if curves is None else curves
        self._drawn = collections.Counter(_key(p.changes) for p in past)
        self._unfinished = collections.deque(p for p in past if p.status not in ENDED)
        self._study = rebuild(search, name, journal, past, retry=True)
        self._running: dict[str, _Running] = {}
        self.spoilt: dict[str, str] = {}
        """Trial -> why it failed although its training did not: its result can't be used."""
        self.gave_up: Exception | None = None
        """Why no further trial could be drawn."""
        self._handed_out = len(past) - len(self._unfinished)
        if not self._drawn[_key(search.first())]:
            self._study.enqueue_trial(search.first())

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """An unfinished trial of an earlier launch, else a new one; `FINISHED` after the last, or
        where no more can be drawn: those that run then still end."""
        if self.gave_up is not None or self._handed_out >= self._search.num_samples:
            return Searcher.FINISHED  # type: ignore[return-value]  # how Ray spells the end
        try:
            asked = self._study.ask()  # waiting trials come first, by their numbers
            changes = suggest(asked, self._search.space)
            running = self._again(asked) if self._unfinished else self._new(asked, changes)
        except Exception as error:  # whatever a sampler raises
            self.gave_up = error
            return Searcher.FINISHED  # type: ignore[return-value]
        self._handed_out += 1
        self._running[trial_id] = running
        return {"trial": PackedTrial.of(running.trial)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell Optuna what an epoch reached, where there is one objective."""
        running = self._running.get(trial_id)
        if running is None:
            return
        with survived(running.trial.trial_id):
            self._add(running, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; nothing of one that it was told of already."""
        running = self._running.get(trial_id)
        if running is None:
            return
        try:
            if result and not error:
                self._add(running, result)
            self._tell(running.asked, self._outcome(running, None if error else result))
        except Exception as caught:  # most likely a file of the tables, which it names
            self._fail(running, caught)
        del self._running[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is rebuilt from the tables."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a study resumes from its tables."""
        raise NotImplementedError

    def _add(self, running: "_Running", result: Mapping[str, Any]) -> None:
        metrics = epoch_metrics(running.trial.config, result)
        if metrics is None:
            return
        curve = self._curves.setdefault(running.trial.trial_id, begun_curve(self._search.baseline))
        curve.add(result["epoch"], metrics, result[SELECTION])
        self._report(running, curve)

    def _fail(self, running: "_Running", caught: Exception) -> None:
        trial, cause = running.trial, f"its result can't be used: {caught or repr(caught)}"
        self.spoilt[trial.trial_id] = cause
        with survived(trial.trial_id):  # the next launch rebuilds it from the tables
            self._store.spoilt(trial, cause)
            running.asked.set_user_attr("error", cause)
            self._study.tell(running.asked, state=TrialState.FAIL)

    def _outcome(self, running: "_Running", result: Mapping[str, Any] | None) -> OptunaOutcome:
        trial = running.trial
        if result is None or "error" in result or not self._ended(trial, result):
            past = self._store.failed(trial)
            self._report(running, past.curve)
            return optuna_outcome(self._search, {}, error=past.error or "it ended without a result")
        costs = self._store.costs(trial) if needs_costs(self._search) else {}
        epoch = self._stopped.get(trial.trial_id)
        if epoch is not None:
            self._store.stopped(trial, epoch)
            at_best = self._curves[trial.trial_id].at_best[epoch]
            return optuna_outcome(self._search, {**at_best, **costs}, stopped_epoch=epoch)
        known = scores(self._search.baseline)
        at_end = {m: float(result[f"{BEST}{m}"]) for m in known if f"{BEST}{m}" in result}
        return optuna_outcome(self._search, {**at_end, **costs})

    def _ended(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        return trial.trial_id in self._stopped or bool(result.get("final"))

    def _tell(self, asked: optuna.Trial, outcome: OptunaOutcome) -> None:
        for key, value in outcome.attributes.items():
            asked.set_user_attr(key, value)
        for key, value in outcome.constraints.items():
            asked.set_constraint(key, value)
        self._study.tell(asked, outcome.values, state=outcome.state)

    def _report(self, running: "_Running", curve: LearningCurve) -> None:
        for epoch, value in intermediate(self._search, curve).items():
            if epoch not in running.reported:
                running.asked.report(value, epoch)
                running.reported.add(epoch)

    def _new(self, asked: optuna.Trial, changes: Changes) -> "_Running":
        key = _key(changes)
        trial = self._search.trial(asked.number, changes, self._drawn[key])
        self._drawn[key] += 1
        asked.set_user_attr("trial_id", trial.trial_id)
        asked.set_user_attr("seed", trial.seed)
        return _Running(asked, trial)

    def _again(self, asked: optuna.Trial) -> "_Running":
        past = self._unfinished.popleft()
        assert past.number == asked.number
        self._curves[past.trial_id] = past.curve
        repeats = past.seed - self._search.seed
        running = _Running(asked, self._search.trial(past.number, past.changes, repeats))
        self._report(running, past.curve)
        return running


@dataclass
class _Running:
    """A trial that Optuna was asked for and whose result it has not been told yet."""

    asked: optuna.Trial
    trial: Trial
    reported: set[int] = field(default_factory=set)
    """Epochs whose value was reported to Optuna."""


def _key(changes: Changes) -> str:
    return json.dumps(dict(changes), sort_keys=True)
