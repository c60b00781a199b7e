"""The tables of a search, as its driver writes and reads them while it runs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.results.trial_rows import record_failure, record_pruned
from segtune.search.trial_history import Past, read_past
from segtune.study.spec import Search, Trial

DIED = "the trial's driver died"


@dataclass(frozen=True)
class Tables:
    """The tables of one search: what `search.OptunaSearcher` needs of them."""

    search: Search
    storage: Storage
    study: str
    origin: Origin
    workers: int

    def stopped(self, trial: Trial, epoch: int) -> None:
        """Write down that a scheduler stopped a trial after an epoch."""
        with suppress(OSError):  # a full disk: the next run trains it on
            record_pruned(self.storage, self.study, trial.trial_id, epoch)

    def confirm(self, stopped: Mapping[str, int]) -> None:
        """Write it down again of trials whose workers were writing at that very moment.

        Args:
            stopped: trial -> epoch, once no worker is left.
        """
        for trial_id, epoch in stopped.items():
            record_pruned(self.storage, self.study, trial_id, epoch)

    def failed(self, trial: Trial) -> Past:
        """Write down that a trial failed, where it could not itself; what there is of it."""
        with suppress(OSError):  # a full disk: it is told all the same
            record_failure(self.storage, self.study, trial, self.origin, self.workers, DIED)
        found = read_past(self.search, self.storage, self.study, only=trial.trial_id)
        if found and found[0].error is not None:
            return found[0]
        assert trial.number is not None
        return Past(trial.trial_id, trial.number, trial.seed, trial.changes, "failed", DIED)

    def costs(self, trial: Trial) -> Mapping[str, float]:
        """What a trial cost, by the names in `costs.COSTS`; its scores are beside them."""
        (past,) = read_past(self.search, self.storage, self.study, only=trial.trial_id)
        return past.values
