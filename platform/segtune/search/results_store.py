"""The tables of a search, as its driver writes and reads them while it runs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.results.trial_rows import record_failure, record_pruned, record_spoilt
from segtune.search.trial_history import PastTrial, read_past
from segtune.study.spec import Search
from segtune.study.trial import Trial

DIED = "the trial's driver died"


@dataclass(frozen=True)
class ParquetResultsStore:
    """The Parquet tables of one search, as `OptunaSearcher` needs them."""

    search: Search
    storage: Storage
    study: str
    origin: Origin
    workers: int

    def stopped(self, trial: Trial, epoch: int) -> None:
        """Write down that a scheduler stopped a trial after an epoch."""
        with suppress(OSError, ValueError):  # if not written, the next run resumes the trial
            record_pruned(self.storage, self.study, trial.trial_id, epoch)

    def confirm(self, stopped: Mapping[str, int]) -> None:
        """Mark stopped trials as stopped once more, since their workers may have overwritten the
        mark.

        Args:
            stopped: trial -> epoch, once no worker is left.
        """
        for trial_id, epoch in stopped.items():
            with suppress(OSError, ValueError):
                record_pruned(self.storage, self.study, trial_id, epoch)

    def failed(self, trial: Trial) -> PastTrial:
        """Mark a trial as failed unless it did so itself; returns what the tables record of it."""
        with suppress(OSError, ValueError):  # tables that can't be written or read: still returned
            record_failure(self.storage, self.study, trial, self.origin, self.workers, DIED)
            found = read_past(self.search, self.storage, self.study, only=trial.trial_id)
            if found and found[0].error is not None:
                return found[0]
        assert trial.number is not None
        return PastTrial(trial.trial_id, trial.number, trial.seed, trial.changes, "failed", DIED)

    def spoilt(self, trial: Trial, cause: str) -> None:
        """Mark a trial as failed although it ended: what it ended with can't be used."""
        with suppress(OSError, ValueError):  # if not written, the next run finds what is lost
            record_spoilt(self.storage, self.study, trial.trial_id, cause)

    def costs(self, trial: Trial) -> Mapping[str, float]:
        """A trial's costs, by their names in `costs.COSTS`; its scores are in the same mapping."""
        (past,) = read_past(self.search, self.storage, self.study, only=trial.trial_id)
        return past.values
