"""A cluster that grows while trials run on it."""

import time
from pathlib import Path
from typing import Any

import pytest
import ray.tune
from ray.cluster_utils import Cluster
from ray.tune.search import Searcher

from segtune.execution import ray_cluster
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.resources import Resources, fitting_trials
from segtune.search.limited import LimitedSearcher

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Waits(Searcher):
    """Hands out seconds in the place of trials."""

    def __init__(self, *seconds: int) -> None:
        super().__init__()
        self._seconds = [*seconds]

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        return {"seconds": self._seconds.pop(0)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class Joins(ray.tune.Callback):
    """Has a node join when the first trial starts, and counts how many run at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._running: set[str] = set()
        self.most = 0

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.add(trial.trial_id)
        self.most = max(self.most, len(self._running))
        if len(trials) == 1:
            self._cluster.add_node(num_cpus=1, wait=False)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.discard(trial.trial_id)


def waits(config: dict[str, Any]) -> None:
    """A trial, for longer than it takes to start another."""
    time.sleep(config["seconds"])
    ray.tune.report({"done": 1})


def test_a_node_that_joins_gets_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "LOOK", 0.5)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        with SharedCluster(cluster.address) as shared:
            shared.connect(Resources())

            def room() -> int:
                return fitting_trials(Resources(), shared.nodes())

            limited, joins = (
                LimitedSearcher(Waits(20, 10, 1), room, lambda: False),
                Joins(cluster),
            )
            assert limited.max_concurrent == 1
            tuner = ray.tune.Tuner(
                ray.tune.with_resources(waits, {"CPU": 1}),
                tune_config=ray.tune.TuneConfig(search_alg=limited, num_samples=3),
                run_config=ray.tune.RunConfig(
                    storage_path=str(tmp_path), callbacks=[joins], verbose=0
                ),
            )
            assert tuner.fit().num_errors == 0
            assert limited.max_concurrent == 2
    finally:
        cluster.shutdown()
    assert joins.most == 2
