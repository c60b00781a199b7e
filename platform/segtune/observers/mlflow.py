"""Runs of MLflow: an experiment per study, in it a run per arm that holds those of its trials.

Where the server is, MLflow is told by `MLFLOW_TRACKING_URI`, as by any other program; the
experiment has the study's name, or that of `MLFLOW_EXPERIMENT_NAME`.
"""

import os
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from segtune.observers.tracked import Ending, TrackedTrial
from segtune.observers.tracking import cause_of

_DEFAULTS = {
    # While a server does not answer, the study waits: MLflow's seven tries may take minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each trial
}
"""What MLflow is told unless its user has told it otherwise."""
_TRIAL, _GROUP, _STATUS, _ERROR = (f"segtune.{x}" for x in ("trial", "group", "status", "error"))
_PARENT = "mlflow.parentRunId"
"""The tag by which MLflow knows the run that holds another."""
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Else MLflow's page shows an experiment as one of language models, whose runs it hides."""
_STATUSES: Mapping[str, str] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
    "cancelled": "KILLED",
}
_LONGEST_PARAM, _LONGEST_TAG = 6000, 5000
_MOST_PARAMS = 100
"""Parameters that a request takes; MLflow's limit, as the two above."""


class MLflowTracker:
    """Keeps a study's runs on MLflow's server."""

    name = "mlflow"
    errors: tuple[type[Exception], ...] = (MlflowException,)

    def __init__(self, study: str) -> None:
        for variable, value in _DEFAULTS.items():
            os.environ.setdefault(variable, value)
        self._client = MlflowClient()
        self._experiment_name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study
        self._experiment: str | None = None
        self._groups: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def check(self) -> str:
        """Make the experiment, where it is not there yet, and say where it is."""
        where = _without_password(self._client.tracking_uri)
        try:
            self._experiment = self._find_experiment()
        except MlflowException as error:
            raise ValueError(
                f"MLflow at {where} does not take runs: {cause_of(error)}. Set "
                "MLFLOW_TRACKING_URI to a server that answers, such as http://127.0.0.1:5000, or "
                "leave --log mlflow out and give the finished study to MLflow with segtune sync"
            ) from error
        if where.startswith("http"):
            return f"{where}/#/experiments/{self._experiment}/runs"
        return f"MLflow's experiment {self._experiment_name} in {where}"

    def open(self, trial: TrackedTrial) -> Collection[int]:
        """Find the trial's run by its tag, or create it."""
        run_id = self._find(_TRIAL, trial.identity)
        begun = run_id is not None
        if run_id is None:
            run_id = self._create(
                trial.trial_id,
                _milliseconds(trial.started),
                {
                    _TRIAL: trial.identity,
                    _PARENT: self._group(trial),
                    "arm": trial.group,
                    "mlflow.note.content": f"Against the baseline: {trial.changes or 'nothing'}",
                    **{name: value for name, value in trial.tags.items() if name != "arm"},
                },
            )
        self._runs[trial.trial_id] = run_id
        settings = {**trial.settings, "seed": trial.tags["seed"]}
        params = [Param(f, str(v)[:_LONGEST_PARAM]) for f, v in settings.items()]
        for i in range(0, len(params), _MOST_PARAMS):  # the same again changes nothing
            self._client.log_batch(run_id, params=params[i : i + _MOST_PARAMS])
        if not begun:
            return ()
        self._client.update_run(run_id, "RUNNING")
        loss = trial.curves["loss"]  # every epoch has one
        return {metric.step for metric in self._client.get_metric_history(run_id, loss)}

    def log(self, trial_id: str, epoch: int, values: Mapping[str, float]) -> None:
        """Add an epoch in one request, so that none is there in part."""
        self._log(self._runs[trial_id], epoch, values)

    def close(self, trial_id: str, ending: Ending) -> None:
        """End the run with its scores at the best epoch."""
        run_id = self._runs.pop(trial_id)
        there = self._client.get_run(run_id).data.metrics
        values = {name: v for name, v in ending.values.items() if name not in there}
        self._log(run_id, ending.epoch, values)
        self._client.set_tag(run_id, _STATUS, ending.status)
        if ending.error:
            self._client.set_tag(run_id, _ERROR, ending.error[:_LONGEST_TAG])
        ended = None if ending.ended is None else _milliseconds(ending.ended)
        self._client.set_terminated(run_id, _STATUSES[ending.status], ended)

    def _log(self, run_id: str, epoch: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(v), now, epoch) for name, v in values.items()]
        if metrics:
            self._client.log_batch(run_id, metrics=metrics)

    def _group(self, trial: TrackedTrial) -> str:
        """The run that holds those of an arm; it has no numbers of its own."""
        if trial.group not in self._groups:
            identity = f"{trial.study}/{trial.group}"
            run_id = self._find(_GROUP, identity)
            if run_id is None:
                tags = {_GROUP: identity, "arm": trial.group}
                started = _milliseconds(trial.started)
                run_id = self._create(trial.group, started, tags)
                self._client.set_terminated(run_id, end_time=started)
            self._groups[trial.group] = run_id
        return self._groups[trial.group]

    def _find(self, tag: str, value: str) -> str | None:
        found = self._client.search_runs(
            [self._experiment_id], f"tags.`{tag}` = '{value}'", max_results=1
        )
        return found[0].info.run_id if found else None

    def _create(self, name: str, started: int, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment_id, started, dict(tags), name)
        return str(run.info.run_id)

    @property
    def _experiment_id(self) -> str:
        assert self._experiment is not None, "check() comes first"
        return self._experiment

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None:
            return str(self._client.create_experiment(self._experiment_name, tags=dict(_KIND)))
        if found.lifecycle_stage == "deleted":
            raise MlflowException(
                f"its experiment {self._experiment_name} was deleted: restore it, or set "
                "MLFLOW_EXPERIMENT_NAME to another"
            )
        return str(found.experiment_id)


def _without_password(uri: str) -> str:
    """A URI as it may be shown."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)
