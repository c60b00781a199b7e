"""Where a running study can be watched, and with which command."""

import logging
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.text import Text

from segtune.results.storage import Place, Storage, local_folder
from segtune.search.journal import JOURNAL
from segtune.study.trial import Trial

DISCOVERY = "prom_metrics_service_discovery.json"
"""File of a Ray session that tells Prometheus where its nodes are."""


class LinksObserver:
    """An observer that prints the links once, before the first trials start."""

    def __init__(
        self,
        console: Console,
        storage: Storage,
        study: str,
        *,
        is_search: bool,
        logs: Mapping[str, str],
        others: Collection[str] = (),
    ) -> None:
        """Keep what is to be printed.

        Args:
            console: where to print.
            storage: the folder that holds the studies.
            study: its name.
            is_search: whether there is an Optuna study too.
            logs: tracking tool -> where its runs are, or the command that shows them.
            others: addresses of Ray clusters that already ran on this machine; the study does not
                use them, and a warning says so.
        """
        self._console, self._others, self._logs = console, others, logs
        self._storage, self._study = Place.of(storage), study
        self._is_search, self._shown = is_search, False

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """Print the links; by now Ray is running."""
        if self._shown:
            return
        self._shown = True
        context = ray.init(ignore_reinit_error=True, logging_level=logging.ERROR)  # what is there
        for what, where in links(
            self._storage,
            self._study,
            is_search=self._is_search,
            logs=self._logs,
            dashboard=context.dashboard_url,
            session=getattr(context, "address_info", {}).get("session_dir"),
        ).items():
            line = Text.assemble((f"  {what:<18}", "dim"), where)
            self._console.print(line, soft_wrap=True)  # to be copied whole
        if self._others:
            self._console.print(
                f"Ray was running on this machine already ({', '.join(sorted(self._others))}): "
                "this study has a Ray of its own, and both take the same CPUs and GPUs for theirs. "
                f"To join the other instead: --address {min(self._others)}",
                style="yellow",
                highlight=False,
            )

    def started(self, trial: Trial) -> None:
        """Nothing to say."""

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """Nothing to say."""

    def ended(self, trial: Trial, error: str | None) -> None:
        """Nothing to say."""


def links(
    storage: Storage,
    study: str,
    *,
    is_search: bool,
    logs: Mapping[str, str],
    dashboard: str | None,
    session: str | None,
) -> dict[str, str]:
    """What can be watched -> where it is, or the command that opens it.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        is_search: whether there is an Optuna study too.
        logs: tracking tool -> where its runs are, or the command that shows them.
        dashboard: `host:port` of Ray's dashboard.
        session: folder of Ray's session on the head node.
    """
    root, local = Place.of(storage), local_folder(storage, study)
    given = shlex.quote(str(root))
    found = {
        "results": str(root / study),
        "now": f"segtune status {study} --storage {given} --watch",
        "report": f"segtune report {study} --storage {given} --serve",
        **logs,
    }
    if is_search:
        found["search"] = f"optuna-dashboard {shlex.quote(str(local / JOURNAL))}"
    if dashboard:
        found["jobs, nodes, logs"] = f"http://{dashboard} (Ray; it knows no trials)"
    if session:
        found["metrics"] = f"Prometheus with file_sd_configs of {Path(session) / DISCOVERY}"
    return found
