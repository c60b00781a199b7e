"""What is asked of a Ray before a study starts on it."""

from types import SimpleNamespace

import pytest
import ray

from segtune.execution.ray_cluster import cluster
from segtune.execution.resources import Resources
from segtune.study.overrides import SpecError


@pytest.mark.parametrize("url", [None, ""])
def test_teams_need_a_dashboard(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **_: SimpleNamespace(dashboard_url=url))
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with (
        pytest.raises(SpecError, match="free --dashboard-port"),
        cluster(None, Resources(workers=2)),
    ):
        pytest.fail("the next trial would wait for ever")
    with cluster(None, Resources(workers=1)) as found:
        assert found == [{"CPU": 2.0}]
