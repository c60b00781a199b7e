"""A connection to Ray: to a cluster that runs, or to one started on this machine."""

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import grpc
import ray

from segtune.execution.resources import Resources, check_resources
from segtune.study.overrides import SpecError

_RAY_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the tables hold the results
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune prints a box of its own
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # the dashboard shows the Train runs
    # A trial has six helper processes that hardly compute: more than Ray expects for two cores.
    "RAY_worker_maximum_startup_concurrency": "16",
}
LOOK = 5.0
"""Seconds between two looks at which nodes there are."""


_ASKED = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""What every client of a cluster asks its head first."""
_ANSWERING = 5.0
"""Seconds that a head has for that."""


@contextmanager
def cluster(address: str | None, resources: Resources) -> Iterator[Sequence[Mapping[str, float]]]:
    """Connect to Ray; a cluster that is started here is stopped at the end.

    Yields:
        The resources of each node.

    Raises:
        SpecError: a trial asks for more than there is, nobody answers at the address, or the head
            there refuses the token.
    """
    os.environ.update(_RAY_SETTINGS)
    for variable in ("SEGTUNE_CACHE", "SEGTUNE_DECODED"):  # workers run in folders of their own
        if (named := os.environ.get(variable)) and named != "off":
            os.environ[variable] = str(Path(named).expanduser().absolute())
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        _check_answers(address)
        check_token(address)
    context = ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    try:
        if resources.in_train_run:
            _check_dashboard(context.dashboard_url)
        nodes = _nodes()
        check_resources(resources, nodes, "the cluster" if address else "this machine")
        yield nodes
    finally:
        ray.shutdown()


class SharedCluster:
    """A connection to Ray that several studies use one after another, made when the first of them
    needs it."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._open = ExitStack()
        self._seen: Sequence[Mapping[str, float]] = ()
        self._looked: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, resources: Resources) -> None:
        """Connect, unless it is done already, and see that a trial fits.

        Raises:
            SpecError: as of `cluster`.
        """
        if self._looked is None:
            self._seen = self._open.enter_context(cluster(self._address, resources))
            self._looked = time.monotonic()
        else:
            check_resources(resources, self.nodes(), "the cluster")

    def nodes(self) -> Sequence[Mapping[str, float]]:
        """The resources of each node that is there now, or was there some seconds ago."""
        assert self._looked is not None
        if time.monotonic() - self._looked > LOOK:
            self._seen, self._looked = _nodes(), time.monotonic()
        return self._seen

    def close(self) -> None:
        """Leave it; one that was started here ends, and its trials with it."""
        self._open.close()
        self._looked = None


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def this_machine() -> dict[str, float]:
    """The resources that a local cluster would have."""
    import torch

    has_affinity = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return {"CPU": cpus, "GPU": torch.cuda.device_count()}


def _check_dashboard(url: str | None) -> None:
    """Ray Train asks the dashboard whether a run is over. Without it, the workers' CPUs and GPUs
    stay taken when a scheduler stops a trial, and the next one waits for ever."""
    if url:
        return
    raise SpecError(
        [
            "this Ray has no dashboard, which trials of several workers or on GPUs need: without "
            "it their CPUs and GPUs stay taken when they are stopped. Start the head again with a "
            "free --dashboard-port (its log says why there is none), or give --workers 1 on CPUs"
        ]
    )


def authorization(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The header with the token, from where Ray looks for it; empty where there is no token.

    Ray's own clients send a token only where RAY_AUTH_MODE says so; a head asks for one as soon as
    it has one.
    """
    if environment.get("RAY_AUTH_MODE", "token").lower() == "disabled":
        return {}
    token = environment.get("RAY_AUTH_TOKEN")
    file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    if not token and file.is_file():
        token = file.read_text()
    return {"Authorization": f"Bearer {token.strip()}"} if token else {}


def refused_token(address: str, *, sent: bool) -> str:
    """What to do about a cluster that does not let this user in.

    Args:
        address: of the cluster.
        sent: whether it was sent a token.
    """
    what = "refuses the token that was sent" if sent else "asks for a token, and none was found"
    return (
        f"the cluster at {address} {what}: bring the head's token into ~/.ray/auth_token or "
        "RAY_AUTH_TOKEN, and leave RAY_AUTH_MODE unset or at token"
    )


def _check_answers(address: str) -> None:
    """Check that something listens at an address: Ray itself would try for minutes."""
    host, port = _host_and_port(address)
    if not port:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise SpecError(
            [
                f"no Ray cluster answers at {address}: {error}. Start one with "
                "`ray start --head`, or leave --address out to start one on this machine"
            ]
        ) from error


def check_token(address: str) -> None:
    """Check that a cluster takes the token, if it answers: Ray itself would try for twenty seconds,
    and not say why it failed.

    Raises:
        SpecError: it does not.
    """
    if "://" in address or not _host_and_port(address)[1]:  # Ray Client has another server
        return
    header = authorization(os.environ, Path.home())
    direct = [("grpc.enable_http_proxy", 0)]  # as Ray connects
    with grpc.insecure_channel(address, direct) as channel:
        # The answer does not matter: of another version of Ray, or one with TLS, Ray will tell.
        ask = channel.unary_unary(_ASKED)
        try:
            ask(b"", _ANSWERING, [(name.lower(), value) for name, value in header.items()])
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise SpecError([refused_token(address, sent=bool(header))]) from error


def _host_and_port(address: str) -> tuple[str, str]:
    """Without a port for "auto" and the like: Ray knows where to look."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    return (host, port) if colon and port.isdigit() else (address, "")
