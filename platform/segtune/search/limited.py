"""How many trials are handed out: as many at a time as there is room for, while a budget lasts."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import ConcurrencyLimiter, Searcher

from segtune.search.callbacks import survived


class LimitedSearcher(ConcurrencyLimiter):
    """Hands out another searcher's trials.

    Tune's own limiter has one number for a whole run. Here it is asked for anew, so that a node
    that joins gets trials, and one that is lost gets none.
    """

    def __init__(
        self, searcher: Searcher, room: Callable[[], int], is_spent: Callable[[], bool]
    ) -> None:
        """Limit a searcher.

        Args:
            searcher: hands out the trials.
            room: how many trials may run at a time now.
            is_spent: whether the budget is spent. From then on no trial is handed out, and those
                that run end as they would have.
        """
        super().__init__(searcher, max_concurrent=room())
        self._room, self._is_spent = room, is_spent
        self.handed_out = 0
        self.closed = False
        """Whether trials were kept back because the budget was spent."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial; None while there is no room, `FINISHED` where there are no more."""
        with survived("the nodes of the cluster"):
            self.max_concurrent = self._room()
        if not self.closed and len(self.live_trials) < self.max_concurrent:
            with survived("the budget"):
                self.closed = self._is_spent()
        if self.closed:
            return Searcher.FINISHED  # type: ignore[return-value]  # how Ray spells the end
        given: dict[str, Any] | None = super().suggest(trial_id)
        self.handed_out += isinstance(given, dict)
        return given

    def get_state(self) -> dict[str, Any]:
        """Nothing: a study resumes from its tables."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles searchers for a restore that segtune never uses, and a connection
        can't be pickled."""
        return {}
