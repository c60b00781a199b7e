"""Runs that contend for a study in an S3 store, with and without conditional writes."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from segtune.execution.lock import AlreadyRunning, lease, only_run
from segtune.execution.lock.conditional import ConditionalFile
from segtune.execution.lock.lease import LEASE, RUNS
from segtune.results.storage import Place

Answer = Callable[[dict[str, Any], Any], Any]
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")


def refusing(answer: Answer) -> Answer:
    """A store that has no conditional writes, and says so."""

    def answer_all(environ: dict[str, Any], start: Any) -> Any:
        if environ["REQUEST_METHOD"] == "PUT" and any(name in environ for name in CONDITIONS):
            start("501 Not Implemented", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        return answer(environ, start)

    return answer_all


def ignoring(answer: Answer) -> Answer:
    """A store that has none, and writes all the same."""

    def answer_all(environ: dict[str, Any], start: Any) -> Any:
        return answer({k: v for k, v in environ.items() if k not in CONDITIONS}, start)

    return answer_all


@pytest.fixture
def storage(
    request: pytest.FixtureRequest, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A storage in a store that does one thing after another: moto's own server may look for two
    requests before it writes for either, which no S3 does."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    answer: Answer = DomainDispatcherApplication(create_backend_app)
    wrap = getattr(request, "param", None)
    server = make_server("127.0.0.1", 0, answer if wrap is None else wrap(answer), threaded=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    yield Place.of(f"s3://{bucket}/{tmp_path.name}?{address}")
    server.shutdown()


def contend(storage: Place, contenders: int) -> int:
    """Let several runs of a study start at once; how many get it. They hold it until all know."""
    start, end = threading.Barrier(contenders), threading.Barrier(contenders)
    got: list[bool] = []
    other: list[Exception] = []

    def run() -> None:
        start.wait(60)
        try:
            with only_run(storage, "demo"):
                got.append(True)
                end.wait(60)
        except AlreadyRunning:
            end.wait(60)
        except Exception as error:
            other.append(error)
            end.abort()

    threads = [threading.Thread(target=run) for _ in range(contenders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not other
    return len(got)


def test_of_runs_that_start_at_once_exactly_one_gets_the_study(storage: Place) -> None:
    assert [contend(storage, 3) for _ in range(20)] == [1] * 20
    assert (storage / "demo" / RUNS).files() == []


def test_of_runs_that_find_a_killed_one_exactly_one_takes_its_place(
    storage: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = storage / "demo" / RUNS / LEASE
    held.write(b"process 1 on elsewhere\nelsewhere+1+1")
    with pytest.raises(AlreadyRunning, match=r"\(process 1 on elsewhere\).*wait 60 seconds"):
        contend_alone(storage)
    assert held.read().startswith(b"process 1 on elsewhere"), "it still has the study"
    monkeypatch.setattr(lease, "died_here", lambda name: name.startswith("elsewhere"))
    for _ in range(10):
        held.write(b"process 1 on elsewhere\nelsewhere+1+1")
        assert contend(storage, 3) == 1


def contend_alone(storage: Place) -> None:
    with only_run(storage, "demo"):
        pass


def test_a_run_whose_place_was_taken_ends_itself(
    storage: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    held = storage / "demo" / RUNS / LEASE
    with pytest.raises(KeyboardInterrupt), only_run(storage, "demo"):  # noqa: PT012
        held.write(b"process 1 on elsewhere\nelsewhere+1+1")
        threading.Event().wait(20)
    assert "process 1 on elsewhere has taken the place of this run" in capfd.readouterr().err
    assert held.is_file(), "it is not this run's any more"


@pytest.mark.parametrize("storage", [refusing, ignoring], indirect=True)
def test_without_conditional_writes_a_second_run_is_refused(storage: Place) -> None:
    with only_run(storage, "demo"):
        (own,) = (storage / "demo" / RUNS).files()
        assert own.name != LEASE
        with pytest.raises(AlreadyRunning, match="wait 60 seconds"):
            contend_alone(storage)
    assert (storage / "demo" / RUNS).files() == []
    assert max(contend(storage, 2) for _ in range(5)) <= 1


def test_a_lease_that_is_too_old_is_taken(storage: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (storage / "demo" / RUNS / LEASE).write(b"process 1 on elsewhere\nelsewhere+1+1")
    monkeypatch.setattr(lease, "GONE", timedelta(seconds=-5))
    with only_run(storage, "demo"):
        assert (storage / "demo" / RUNS / LEASE).read().startswith(b"process ")


def test_the_store_is_the_one_that_tables_go_to(
    storage: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the address in the URI, not at that of the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    assert ConditionalFile(storage / "file").create(b"1")
    assert (storage / "file").read() == b"1"
    found = ConditionalFile(storage / "file").look()
    assert found is not None
    assert found.age < timedelta(seconds=30)
    assert not ConditionalFile(storage / "file").create(b"2")
