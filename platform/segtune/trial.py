"""The Ray Tune trial: a driver of one Ray Train run, which it resumes where there is one."""

from pathlib import Path
from typing import Any

from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from segtune.record import Origin, failure, record_failure
from segtune.resources import Resources
from segtune.spec import Trial
from segtune.worker import Job, work

DRIVER_MEMORY = 500 * 2**20
"""Bytes that a driver asks Ray for, and all it asks for: a share of a CPU would keep a trial whose
workers take every CPU from ever starting."""
RETRIES = 1
"""How often a trial goes on from its checkpoint after a worker died. A loss that is no longer a
number would only be lost again: the worker writes that down and ends in order."""


class TrialFailed(RuntimeError):
    """A training ended in order, without a result."""


def drive(
    config: dict[str, Any], *, study: str, storage: Path, origin: Origin, resources: Resources
) -> None:
    """Train `config["trial"]`; a failure is written to the tables before it is raised."""
    trial: Trial = config["trial"]
    try:
        trainer(trial, study=study, storage=storage, origin=origin, resources=resources).fit()
        if error := failure(storage, study, trial.trial_id):
            raise TrialFailed(error)
    except Exception as caught:
        record_failure(storage, study, trial, origin, resources.workers, cause(caught))
        raise


def trainer(
    trial: Trial, *, study: str, storage: Path, origin: Origin, resources: Resources
) -> TorchTrainer:
    """The Ray Train run of a trial, to be made inside a Tune trial."""
    per_worker = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    return TorchTrainer(
        work,
        train_loop_config={"job": Job(trial, study, storage, origin)},
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        run_config=RunConfig(
            name=trial.trial_id,
            storage_path=str(storage / study / "train"),
            failure_config=FailureConfig(max_failures=RETRIES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]  # Ray's own pairing
        ),
    )


def cause(error: BaseException) -> str:
    """What went wrong, in the worker's own words where a worker failed."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        error = failures[min(failures)]
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
