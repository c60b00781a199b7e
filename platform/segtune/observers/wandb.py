"""Runs of Weights & Biases: a run per trial, in the group of its arm.

Whose account, which project and which server are told by W&B's own variables: `WANDB_API_KEY`,
`WANDB_ENTITY`, `WANDB_PROJECT` (else the study's name), `WANDB_BASE_URL`. With
`WANDB_MODE=offline` the runs lie in `wandb/` of the study's folder until `wandb sync` sends them.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping

import wandb

from segtune.observers.tracked import Ending, TrackedTrial
from segtune.results.storage import Storage, local_folder

_SETTINGS = wandb.Settings(
    console="off",
    silent=True,
    x_disable_meta=True,  # the command line, in which there may be an address that is a secret
    x_disable_machine_info=True,
    x_disable_stats=True,  # of this process, which does not train
    disable_git=True,
    disable_code=True,
)


class WandbTracker:
    """Keeps a study's runs in W&B."""

    name = "wandb"
    errors: tuple[type[Exception], ...] = (Exception,)
    """Not only `wandb.Error`: what its service refuses has private classes of no common base."""

    def __init__(self, storage: Storage, study: str) -> None:
        self._study = study
        self._folder = local_folder(storage, study)
        self._project = os.environ.get("WANDB_PROJECT") or study
        self._runs: dict[str, wandb.Run] = {}

    def check(self) -> str:
        """Log in, unless W&B is to stay offline."""
        if self._offline:
            return f"wandb sync {self._folder / 'wandb'}/offline-run-*, to send the runs"
        try:
            wandb.login()
        except wandb.Error as error:
            raise ValueError(
                f"W&B does not take runs: {error}. Set WANDB_API_KEY, or WANDB_MODE=offline to "
                "keep the runs on this machine"
            ) from error
        return f"project {self._project} of W&B"

    def open(self, trial: TrackedTrial) -> Collection[int]:
        """Begin the trial's run, or go on with it.

        A run that stayed offline is begun again in place of the earlier one. One that was sent
        goes on after its last epoch: W&B adds to the end alone.
        """
        if run := self._runs.pop(trial.trial_id, None):
            run.finish()
        run_id = hashlib.sha256(trial.identity.encode()).hexdigest()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._offline:
            for earlier in (self._folder / "wandb").glob(f"offline-run-*-{run_id}"):
                shutil.rmtree(earlier)
        run = self._runs[trial.trial_id] = wandb.init(
            project=self._project,
            group=trial.group,
            job_type=trial.tags["role"],
            name=trial.trial_id,
            notes=f"Against the baseline: {trial.changes or 'nothing'}",
            id=run_id,
            resume=None if self._offline else "allow",
            config={**trial.settings, **trial.tags, "study": trial.study},
            dir=self._folder,
            reinit="create_new",  # several trials run at a time
            settings=_SETTINGS,
        )
        return range(1, run.step)

    def log(self, trial_id: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add an epoch."""
        self._runs[trial_id].log(dict(values), step=epoch)

    def close(self, trial_id: str, ending: Ending) -> None:
        """End the run with its scores at the best epoch."""
        run = self._runs.pop(trial_id)
        summary = {**ending.values, "status": ending.status, "best_epoch": ending.epoch}
        run.summary.update(summary | ({"error": ending.error} if ending.error else {}))
        run.finish(exit_code=0 if ending.status in ("finished", "pruned") else 1)

    @property
    def _offline(self) -> bool:
        return os.environ.get("WANDB_MODE") in ("offline", "dryrun")
