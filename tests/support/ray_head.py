"""A real head node of a Ray cluster on loopback, for tests."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
OFF = {"RAY_AUTH_MODE": "disabled"}


@dataclass(frozen=True)
class Head:
    """One that runs."""

    address: str
    """Of its dashboard."""
    gcs: str
    """What a driver connects to."""
    pid: int
    temp: Path
    """Its folder for logs and metrics."""
    environment: Mapping[str, str]
    """Of a client that may talk to it."""


@contextlib.contextmanager
def head_node(auth: Mapping[str, str]) -> Iterator[Head]:
    """Start it with ports and folders of its own; it is ended by its own process id.

    Args:
        auth: variables that say whether it asks for a token, and for which.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment = {**kept, **auth}
    port, dashboard, agent = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="rs", dir="/tmp", ignore_cleanup_errors=True) as temp:
        output_file = Path(temp, "output")
        process = subprocess.Popen(
            [
                *(str(BIN / "ray"), "start", "--head", "--block", "--port", str(port)),
                *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
                *("--dashboard-agent-listen-port", str(agent), "--num-cpus", "2"),
                *("--disable-usage-stats", "--temp-dir", temp),
            ],
            env=environment,
            stdout=output_file.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{dashboard}"
            assert _answers(f"{address}/api/version", process), output_file.read_text()
            yield Head(address, f"127.0.0.1:{port}", process.pid, Path(temp), environment)
        finally:
            process.terminate()
            process.wait(90)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except urllib.error.HTTPError:
            return True  # it asks for a token: it is there
        except OSError:
            time.sleep(1)
        if process.poll() is not None:
            return False
    return False
