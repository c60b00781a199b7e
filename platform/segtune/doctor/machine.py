"""Memory and CPUs, as a study's processes will find them."""

import math
from collections.abc import Mapping
from pathlib import Path

from segtune.doctor.finding import Finding, gib

SHARED_MEMORY = 2**30
"""Bytes of /dev/shm below which Ray's object store moves to the disk and NCCL may fail; a
container has 64 MiB unless told otherwise."""
MEMORY = 4 * 2**30
"""Bytes: Ray takes some 2 GB for itself and for each trial, before any network."""
RAY_NICENESS = 15
"""Niceness of Ray's workers, unless RAY_worker_niceness says otherwise."""


def check_shared_memory(size: int) -> Finding:
    """Check that /dev/shm is large enough.

    Args:
        size: its size, bytes.
    """
    if size >= SHARED_MEMORY:
        return Finding("ok", "/dev/shm", gib(size))
    advice = "in a container: --shm-size=8g, on Kubernetes an emptyDir of medium Memory"
    return Finding("warning", "/dev/shm", f"{gib(size)}: Ray's object store will be slow", advice)


def check_memory(limit: int | None, physical: int) -> Finding:
    """Memory that this process may use.

    Args:
        limit: of its control group, bytes; None where there is none.
        physical: of the machine, bytes.
    """
    usable = physical if limit is None else min(limit, physical)
    found = gib(physical)
    if usable < physical:
        found = f"{gib(usable)} by control group, of the machine's {found}"
    if usable >= MEMORY:
        return Finding("ok", "memory", found)
    advice = "raise the limit, or run one trial at a time (--concurrent 1)"
    return Finding("warning", "memory", f"{found}: little for Ray and a trial", advice)


def memory_limit(groups: str, root: Path) -> int | None:
    """Bytes that a process may use by its control groups; None where nothing limits it.

    Args:
        groups: text of `/proc/self/cgroup`.
        root: where control groups are mounted, `/sys/fs/cgroup`.
    """
    files = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        below = Path(path.lstrip("/"))
        if controllers == "":  # version 2; every group above limits too
            files += [root / p / "memory.max" for p in (below, *below.parents)]
        elif "memory" in controllers.split(","):
            base = root / "memory"
            files += [base / p / "memory.limit_in_bytes" for p in (below, *below.parents)]
    texts = [f.read_text().strip() for f in files if f.is_file()]
    limits = [int(t) for t in texts if t != "max"]
    return min(limits, default=None)


def check_priority(environment: Mapping[str, str], nice: int, load: float, cpus: int) -> Finding:
    """Whether other work will keep Ray's workers from the CPU.

    Args:
        environment: variables.
        nice: of this process, which Ray adds to.
        load: processes that want a CPU, mean over the last minute.
        cpus: that this process may use.
    """
    given = environment.get("RAY_worker_niceness", str(RAY_NICENESS))
    if not given.lstrip("-").isdigit():
        found = f"RAY_worker_niceness = {given} is no whole number"
        return Finding("fault", "priority", found, "export RAY_worker_niceness=0")
    workers = min(19, nice + int(given))
    found = f"workers at nice {workers}, load {load:.1f} on {cpus} CPUs"
    if workers > 0 and load > math.ceil(0.75 * cpus):
        advice = "others come first: wait, or export RAY_worker_niceness=0 before Ray is started"
        return Finding("warning", "priority", found, advice)
    return Finding("ok", "priority", found)
