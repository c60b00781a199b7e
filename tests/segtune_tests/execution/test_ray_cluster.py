"""What is asked of a Ray before a study starts on it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
import ray

from segtune.cli import main
from segtune.execution.ray_cluster import cluster
from segtune.execution.resources import Resources
from segtune.execution.training.trainable import DRIVER_MEMORY, trainable
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


TOKEN = "0123456789abcdef" * 2


class Guarded(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers whoever brings the token."""

    def service(self, handler_call_details: Any) -> Any:
        told = dict(handler_call_details.invocation_metadata)

        def answer(request: bytes, context: Any) -> bytes:
            if told.get("authorization") != f"Bearer {TOKEN}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a head that asks for a token, which this user does not have."""
    for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    server = grpc.server(ThreadPoolExecutor(1), [Guarded()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def connects(address: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Ray is asked to connect, which it would try for 20 seconds with a wrong token."""
    asked: list[str] = []

    def init(address: str, **_: Any) -> SimpleNamespace:
        asked.append(address)
        return SimpleNamespace(dashboard_url="")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with cluster(address, Resources()):
        return asked == [address]
    return False


def test_a_token_that_is_refused_is_told_at_once(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError, match=f"{guarded} asks for a token, and none was found: bring"):
        connects(guarded, monkeypatch)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "no")
    with pytest.raises(SpecError, match="refuses the token that was sent: bring the head's token"):
        connects(guarded, monkeypatch)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert connects(guarded, monkeypatch)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(SpecError, match="asks for a token"):
        connects(guarded, monkeypatch)


def test_a_run_asks_for_the_token_before_it_looks_a_study_over(
    guarded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which takes seconds."""
    assert main(["run", "no_such_study.py", "--address", guarded]) == 2
    told = capsys.readouterr().err
    assert "asks for a token, and none was found" in told
    assert "no_such_study" not in told
