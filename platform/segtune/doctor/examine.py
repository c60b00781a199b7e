"""Every check, with what it reads from this machine."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from segtune.doctor.cluster import (
    PORTS,
    check_address,
    check_instances,
    check_port,
    check_token,
)
from segtune.doctor.finding import Finding
from segtune.doctor.machine import (
    check_memory,
    check_priority,
    check_shared_memory,
    memory_limit,
)
from segtune.doctor.processes import PROC, holder, ray_instances
from segtune.doctor.software import (
    Gpu,
    TorchFacts,
    check_dashboard,
    check_python,
    check_torch,
    check_torchvision,
    check_versions,
    read_pins,
)
from segtune.doctor.storage import check_storage
from segtune.results.storage import Storage

_CONSTRAINTS = Path(__file__).parents[3] / "constraints.txt"
"""In a checkout; an installed wheel has none."""
_GROUPS = Path("/sys/fs/cgroup")


def examine(storage: Storage, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look over this machine, one line after another.

    Args:
        storage: the folder of the results.
        environment: variables.
    """
    yield from _software()
    yield from check_storage(storage, PROC / "mounts")
    yield from _machine(environment)
    yield from _cluster(environment)


def _software() -> Iterator[Finding]:
    about = importlib.metadata.metadata("segtune")
    found = importlib.metadata.distributions()
    installed: dict[str, str] = {canonicalize_name(d.name): d.version for d in found}
    yield check_python(platform.python_version(), about["Requires-Python"])
    required = importlib.metadata.requires("segtune") or []
    yield from check_versions(required, installed, read_pins(_CONSTRAINTS))
    if "ray" in installed:
        yield check_dashboard(importlib.metadata.requires("ray") or [], installed)
    if {"torch", "torchvision"} <= installed.keys():
        yield from _torch()


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("fault", "torch", f"does not import: {error}", "install it anew")
        return
    gpus = []
    for number in range(torch.cuda.device_count()):
        free, memory = torch.cuda.mem_get_info(number)
        with torch.cuda.device(number):
            gpus.append(
                Gpu(
                    torch.cuda.get_device_name(number),
                    memory,
                    free,
                    torch.cuda.is_bf16_supported(including_emulation=False),
                )
            )
    facts = TorchFacts(torch.__version__, torch.version.cuda, tuple(gpus))
    yield from check_torch(facts, _driver())
    yield check_torchvision(
        importlib.metadata.requires("torchvision") or [], torch.__version__, _import_torchvision()
    )


def _driver() -> str | None:
    """Version of the NVIDIA driver that is loaded."""
    file = PROC / "driver" / "nvidia" / "version"
    if not file.is_file():
        return None
    words = file.read_text().split()
    return next((w for w in words if w[0].isdigit() and "." in w), "of unknown version")


def _import_torchvision() -> str | None:
    """What goes wrong; its operators are not found where it was built for another torch."""
    try:
        import torchvision.ops  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return str(error)
    return None


def _machine(environment: Mapping[str, str]) -> Iterator[Finding]:
    shared = Path("/dev/shm")
    if shared.is_dir():
        yield check_shared_memory(shutil.disk_usage(shared).total)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = PROC / "self" / "cgroup"
    limit = memory_limit(groups.read_text(), _GROUPS) if groups.is_file() else None
    yield check_memory(limit, physical)
    has_affinity = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    yield check_priority(environment, nice, os.getloadavg()[0], cpus)


def _cluster(environment: Mapping[str, str]) -> Iterator[Finding]:
    address = environment.get("RAY_ADDRESS")
    if PROC.is_dir():  # Linux
        for port, use in PORTS.items():
            yield check_port(port, use, holder(port))
        yield check_instances(ray_instances(), address)
    yield check_token(environment, Path.home())
    yield check_address(address)
