"""The folder of the results: can tables be written there as segtune writes them?"""

import os
import shutil
import tempfile
from pathlib import Path

from segtune.doctor.finding import Finding, gib
from segtune.execution.preflight import check_store
from segtune.results.storage import Place, Storage
from segtune.study.overrides import SpecError

LOW = 5 * 2**30
"""Bytes: a trial at paper scale keeps two checkpoints of about a gigabyte."""
_GONE = {
    "tmpfs": "it lies in memory and is gone after a reboot",
    "ramfs": "it lies in memory and is gone after a reboot",
    "overlay": "it lies inside a container and is gone with it",
}
_SHARED = ("nfs", "nfs4", "lustre", "beegfs", "ceph", "gpfs", "cifs", "smb3", "9p")


def check_storage(storage: Storage, mounts: Path) -> list[Finding]:
    """Write, sync, rename and read a file there; free space; kind of file system.

    Args:
        storage: the folder, which need not be there yet, or one of an object store.
        mounts: the kernel's list of mounts, `/proc/mounts`.
    """
    place = Place.of(storage)
    if place.local is None:
        return [_check_store(place)]
    folder = place.local
    there = next(p for p in (folder, *folder.parents) if p.exists())
    where = str(folder) if there == folder else f"{folder} (to be made in {there})"
    try:
        _rewrite(there)
    except OSError as error:
        found = f"{where}: can't write, sync and rename: {error.strerror}"
        return [Finding("fault", "storage", found, "give another folder with --storage")]
    lines = [Finding("ok", "storage", f"{where}: writes, syncs and renames")]
    lines.append(check_space(shutil.disk_usage(there).free))
    if mounts.is_file():
        lines.append(check_file_system(*file_system(there.resolve(), mounts.read_text())))
    return lines


def _check_store(place: Place) -> Finding:
    try:
        check_store(place)
    except SpecError as error:
        return Finding("fault", "storage", str(error))
    return Finding("ok", "storage", f"{place}: takes and removes objects")


def check_space(free: int) -> Finding:
    """Check that the disk has room.

    Args:
        free: bytes that are free.
    """
    if free >= LOW:
        return Finding("ok", "free space", gib(free))
    advice = "make room, or give another folder with --storage"
    return Finding("warning", "free space", f"{gib(free)}, a study may need more", advice)


def check_file_system(kind: str, mount: str) -> Finding:
    """Whether other nodes may see it, and whether it lasts."""
    found = f"{kind} at {mount}"
    if kind in _GONE:
        advice = "give a folder on a disk with --storage"
        return Finding("warning", "file system", f"{found}: {_GONE[kind]}", advice)
    if kind in _SHARED or kind.startswith("fuse."):
        return Finding("ok", "file system", f"{found}, a network's: other nodes may see it")
    return Finding("ok", "file system", f"{found}, this machine's own: for a study on one node")


def file_system(folder: Path, mounts: str) -> tuple[str, str]:
    """(kind, mount point) of the file system that a folder lies in."""
    best = ("unknown", "/")
    for line in mounts.splitlines():
        _, mount, kind, *_ = line.split()
        mount = mount.replace("\\040", " ")
        longer = len(mount) >= len(best[1])  # of two at the same place the later one counts
        if longer and folder.is_relative_to(mount):
            best = (kind, mount)
    return best


def _rewrite(folder: Path) -> None:
    """What the tables do with every file: write under another name, then rename."""
    with tempfile.TemporaryDirectory(prefix=".segtune-doctor-", dir=folder) as temporary:
        unfinished, file = Path(temporary, ".table"), Path(temporary, "table")
        file.write_bytes(b"before")
        with unfinished.open("wb") as out:
            out.write(b"after")
            out.flush()
            os.fsync(out.fileno())
        os.replace(unfinished, file)
        if file.read_bytes() != b"after":
            raise OSError(0, "a renamed file did not take the place of the one before")
