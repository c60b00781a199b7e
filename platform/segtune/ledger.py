"""The tables of a search, as its driver writes and reads them while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segtune.history import Past, read_past
from segtune.record import Origin, record_failure, record_pruned
from segtune.spec import Search, Trial

DIED = "the trial's driver died"


@dataclass(frozen=True)
class Tables:
    """The tables of one search: what `search.OptunaSearcher` needs of them."""

    search: Search
    storage: Path
    study: str
    origin: Origin
    workers: int

    def stopped(self, trial: Trial, epoch: int) -> None:
        """Write down that a scheduler stopped a trial after an epoch."""
        record_pruned(self.storage, self.study, trial, epoch)

    def failed(self, trial: Trial) -> Past:
        """Write down that a trial failed, where it could not itself; what there is of it."""
        record_failure(self.storage, self.study, trial, self.origin, self.workers, DIED)
        return self._past(trial)

    def costs(self, trial: Trial) -> Mapping[str, float]:
        """What a trial cost, by the names in `costs.COSTS`; its scores are beside them."""
        return self._past(trial).values

    def _past(self, trial: Trial) -> Past:
        (past,) = read_past(self.search, self.storage, self.study, only=trial.trial_id)
        return past
