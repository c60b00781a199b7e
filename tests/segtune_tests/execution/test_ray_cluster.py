"""What is asked of a Ray before a study starts on it."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from segtune.execution.ray_cluster import cluster
from segtune.execution.resources import Resources
from segtune.execution.trainable import DRIVER_MEMORY, trainable
from segtune.results.provenance import find_origin
from segtune.study.overrides import SpecError


@pytest.mark.parametrize("url", [None, ""])
@pytest.mark.parametrize("asked", [Resources(workers=2), Resources(gpus_per_worker=1)])
def test_ray_train_runs_need_a_dashboard(
    monkeypatch: pytest.MonkeyPatch, url: str | None, asked: Resources
) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0, "GPU": 2.0}}]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url=url))
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with (
        pytest.raises(SpecError, match="free --dashboard-port"),
        cluster(None, asked),
    ):
        pytest.fail("the next trial would wait for ever")
    with cluster(None, Resources(workers=1)) as found:
        assert found == [{"CPU": 2.0, "GPU": 2.0}]


def test_what_a_trial_asks_tune_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a Ray Train run ask for CPUs and GPUs themselves; their driver for none."""
    monkeypatch.setattr(ray.tune, "with_resources", lambda _, asked: asked)
    origin = find_origin()

    def asked(resources: Resources) -> Any:
        return trainable("study", "results", origin, resources)

    assert asked(Resources(cpus_per_worker=2)) == {"CPU": 2}
    driver = {"CPU": 0, "memory": DRIVER_MEMORY}
    assert asked(Resources(gpus_per_worker=1)) == driver, "on a GPU: a Ray Train run of one worker"
    assert asked(Resources(gpus_per_worker=0.5)) == driver
    assert asked(Resources(workers=2)) == driver
    assert asked(Resources(max_workers=2)) == driver
