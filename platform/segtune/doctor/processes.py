"""Processes of this machine, as Linux lists them under `/proc`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LISTENS = "0A"
_RAYS_OWN = re.compile(r"/ray/(core|dashboard)/")


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port."""

    name: str
    """Name and process id; of another user's process only that it is one."""
    is_ray: bool


def holder(port: int, proc: Path = PROC) -> Holder | None:
    """Who listens on a TCP port; None where nobody does.

    Args:
        port: its number.
        proc: where the processes are listed.
    """
    sockets = {inode for table in ("tcp", "tcp6") for inode in _listening(port, proc, table)}
    if not sockets:
        return None
    for process in _processes(proc):
        if sockets & set(_sockets(process)):
            name = (process / "comm").read_text().strip()
            return Holder(f"{name} ({process.name})", bool(_RAYS_OWN.search(_command(process))))
    return Holder("a process of another user", is_ray=False)


def ray_instances(proc: Path = PROC) -> set[str]:
    """Addresses of the Ray clusters that have a node on this machine."""
    found = set()
    for process in _processes(proc):
        words = _command(process).split()
        if words and Path(words[0]).name == "raylet":
            given = (w.partition("=") for w in words)
            found |= {value for key, _, value in given if key.lstrip("-") == "gcs-address"}
    return found


def _processes(proc: Path) -> Iterator[Path]:
    yield from (p for p in sorted(proc.iterdir()) if p.name.isdigit())


def _command(process: Path) -> str:
    """Its command line, words separated by spaces. A process that renamed itself has all of it in
    the first word."""
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:  # it ended meanwhile
        return ""


def _listening(port: int, proc: Path, table: str) -> Iterator[str]:
    """Inodes of the sockets that listen on a port."""
    file = proc / "net" / table
    lines = file.read_text().splitlines()[1:] if file.is_file() else []
    for line in lines:
        _, local, _, state, *rest = line.split()
        if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
            yield rest[5]


def _sockets(process: Path) -> Iterator[str]:
    """Inodes of a process's sockets; none where it is another user's."""
    try:
        for link in (process / "fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return
