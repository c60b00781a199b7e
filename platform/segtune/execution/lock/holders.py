"""Who holds a study: how a run is named, for people and for other runs."""

import os
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path


class AlreadyRunning(ValueError):
    """Another process runs this study now."""


def refusal(study: str, holder: str) -> str:
    """Why a run is refused, and what to do."""
    return (
        f"{study} is being run already ({holder}). Watch that run, or give this one another --name."
    )


def this_run() -> str:
    """This process as a person reads it."""
    since = datetime.now(UTC).isoformat(" ", "seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}"


def processes() -> str:
    """Identifies the machine or container, and its start, within which process ids are comparable.

    The name of the host is not enough: two containers may share one.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}-{boot}-{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return f"{socket.gethostname()}-{uuid.uuid4().hex}"


def died_here(name: str) -> bool:
    """Whether a process, named `processes()+PID`, was one of this machine, and has ended."""
    there, _, rest = name.partition("+")
    pid = rest.partition("+")[0]
    if there != processes() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
