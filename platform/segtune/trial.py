"""A trial of a study as Ray Tune runs it: alone in a process, or a team of workers."""

from functools import partial
from typing import Any

import ray.tune

from segtune import team
from segtune.record import Origin
from segtune.resources import Resources
from segtune.solo import SoloTrial
from segtune.storage import Storage
from segtune.worker import Job

DRIVER_MEMORY = 500 * 2**20
"""Bytes that the driver of a team asks Ray for, and all it asks for: a share of a CPU would keep a
trial whose workers take every CPU from ever starting."""


def trainable(study: str, storage: Storage, origin: Origin, resources: Resources) -> Any:
    """What Tune is to run for each trial, `config["trial"]`, with what it asks for.

    It reports what `Recorder.add` returns after each epoch; the last report has `final`, or
    `error` where the training failed.
    """
    job = partial(
        Job,
        study=study,
        storage=storage,
        origin=origin,
        patience=resources.patience,
        on_gpu=resources.gpus_per_worker > 0,
    )
    if resources.most > 1:
        driver = partial(team.drive, job=job, resources=resources)
        return ray.tune.with_resources(driver, {"CPU": 0, "memory": DRIVER_MEMORY})
    alone = ray.tune.with_parameters(SoloTrial, job=job)
    asked = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
    return ray.tune.with_resources(alone, asked)
