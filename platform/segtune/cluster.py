"""A connection to Ray: the cluster at hand, or one started on this machine."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from segtune.check import check_resources
from segtune.spec import Resources

_RAY_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the tables hold the results
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune prints a box of its own
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",  # the dashboard shows the Train runs
}


@contextmanager
def cluster(address: str | None, resources: Resources) -> Iterator[Mapping[str, float]]:
    """Be connected to Ray; a cluster started here is ended here.

    Yields:
        The cluster's resources.
    """
    os.environ.update(_RAY_SETTINGS)
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        check_resources(resources, {"CPU": cpus or 1, "GPU": _gpus()}, "this machine")
    ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    try:
        available = ray.cluster_resources()
        check_resources(resources, available, "the cluster" if address else "this machine")
        yield available
    finally:
        ray.shutdown()


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
