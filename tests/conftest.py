"""What several tests share: the smallest training there is."""

import dataclasses
import gc
import logging
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from pyarrow.fs import FileSystem

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune.results.storage import Place


def pytest_configure() -> None:
    """Let tests be interrupted, where a shell has its background programs ignore that: so are
    processes that tests start and interrupt. And let garbage be looked for less often."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    young, *older = gc.get_threshold()
    gc.set_threshold(16 * young, *older)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while the test modules are imported, which leave next to none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the test modules have imported, which stays to the end.

    torch, Ray and the rest are a few million objects: walking them takes up to a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter clean up at its end."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scenes are rendered once per test session, away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SEGTUNE_DECODED", str(tmp_path_factory.mktemp("decoded")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_ray_token() -> Iterator[None]:
    """Ray asks for no token, whether or not the user has one in the home folder.

    A process decides once whether it asks for tokens, at its first Ray cluster. A later cluster
    that decides otherwise takes the process for dead, and each of its actors ends at once.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket of an S3 server on this machine, whose address is in the environment."""
    from moto.server import ThreadedMotoServer  # the tests on a GPU run without it

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        store, path = FileSystem.from_uri("s3://studies?allow_bucket_creation=true")
        store.create_dir(path)
        yield "studies"
    server.stop()


@pytest.fixture(params=["file system", "object store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty storage of each kind."""
    if request.param == "file system":
        return Place.of(tmp_path / "results")
    return Place.of(f"s3://{request.getfixturevalue('bucket')}/{tmp_path.name}/results")


@pytest.fixture
def tiny() -> TrainConfig:
    """Six training images, two epochs: seconds on one core."""
    torch.set_num_threads(1)
    return dataclasses.replace(
        nano(),
        data=SyntheticLiver(train=6, val=2, test=2),
        schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
    )
