"""What a person sees while a study runs: a live table on a terminal, else a line per epoch."""

import time
from collections.abc import Mapping
from statistics import mean
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from segtune.results.trial_rows import BEST, VAL
from segtune.study.scores import ScoreKind, headline, scores
from segtune.study.trial import Trial


class ConsoleObserver:
    """An observer of a study that shows it."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._started: dict[str, float] = {}
        self._latest: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, str | None] = {}
        self._lasted: dict[str, float] = {}
        """Seconds of each trial that has ended."""
        self._total = self._before = 0
        self._concurrent = 1
        self._shown: dict[str, ScoreKind] = {}
        self._began = time.monotonic()
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """A stage starts."""
        self._total, self._before = self._total + total, self._before + done
        self._concurrent = max(1, min(concurrent, total - done))
        already = f", {done} of them finished before" if done else ""
        self._console.print(
            Text.assemble((self._name, "bold"), f": {total} trials{already}; "),
            f"{concurrent} at a time. The first take some seconds to start.",
            sep="",
            highlight=False,
        )

    def started(self, trial: Trial) -> None:
        """A trial was given its resources."""
        self._started.setdefault(trial.trial_id, time.monotonic())
        self._shown = self._shown or headline(scores(trial.config))
        if trial.repeats:
            self._console.print(
                f"{trial.trial_id} has the configuration of an earlier trial: "
                f"it runs with seed {trial.seed}",
                highlight=False,
            )

    def reported(self, trial: Trial, metrics: Mapping[str, Any]) -> None:
        """A trial finished an epoch or its final evaluation."""
        latest = self._latest.setdefault(trial.trial_id, {})
        latest.update(metrics)
        if not self._console.is_terminal and not metrics.get("final"):
            values = ", ".join(
                f"{kind.label} {_number(metrics.get(f'{VAL}{name}'), kind.digits)}{_unit(kind)}"
                for name, kind in headline(scores(trial.config)).items()
            )
            self._console.print(
                f"{trial.trial_id}: epoch {metrics['epoch']}/{metrics['epochs']}, "
                f"loss {_number(metrics.get('loss'))}, on val: {values}",
                highlight=False,
            )

    def ended(self, trial: Trial, error: str | None) -> None:
        """A trial is done."""
        self._ended[trial.trial_id] = error
        latest = self._latest.get(trial.trial_id, {})
        name, kind = next(iter(headline(scores(trial.config)).items()), ("", None))
        outcome = "ended"
        if kind is not None:
            best = _number(latest.get(f"{BEST}{name}"), kind.digits)
            outcome = f"best val {kind.label} {best}{_unit(kind)}"
        if error:
            outcome = f"failed: {error}"
        elif latest and not latest.get("final"):
            outcome = f"stopped after epoch {latest['epoch']} of {latest['epochs']}, {outcome}"
        now = time.monotonic()
        self._lasted[trial.trial_id] = now - self._started.get(trial.trial_id, now)
        done = self._before + len(self._ended)
        line = f"{trial.trial_id}: {outcome}  ({done}/{self._total})"
        self._console.print(line, highlight=False, markup=False)

    def _draw(self) -> RenderableType:
        running = [t for t in self._started if t not in self._ended]
        grid = Table.grid(padding=(0, 2))
        scores = [f"val {k.label}{_in_brackets(k)}" for k in self._shown.values()]
        headings = ("trial", "", "epoch", "loss", *scores, "time")
        grid.add_row(*(Text(h, style="dim") for h in headings))
        for trial_id in running:
            grid.add_row(*self._row(trial_id))
        return Group(grid, self._summary())

    def _row(self, trial_id: str) -> list[RenderableType]:
        latest = self._latest.get(trial_id, {})
        epoch, epochs = latest.get("epoch", 0), latest.get("epochs", 1)
        if latest.get("final"):
            epoch = epochs
        seconds = time.monotonic() - self._started[trial_id]
        return [
            trial_id,
            ProgressBar(total=epochs, completed=epoch, width=24),
            f"{epoch}/{epochs}" if latest else "starting",
            _number(latest.get("loss")),
            *(
                _number(latest.get(f"{VAL}{name}"), kind.digits)
                for name, kind in self._shown.items()
            ),
            f"{seconds:.0f} s",
        ]

    def _summary(self) -> Text:
        seconds = time.monotonic() - self._began
        done, left = len(self._ended), self._total - self._before - len(self._ended)
        text = f"{self._before + done} of {self._total} done, {seconds:.0f} s"
        if done and left:
            text += f", about {self._to_go(left):.0f} s to go"
        return Text(text, style="bold")

    def _to_go(self, left: int) -> float:
        """Seconds until all trials have ended: the mean of those that did for each that is left, as
        many at a time as run, less what the running ones have behind them."""
        usual = mean(self._lasted.values())
        now = time.monotonic()
        running = [now - t for trial, t in self._started.items() if trial not in self._ended]
        own = [max(0.0, usual - elapsed) for elapsed in running]
        waiting = usual * max(0, left - len(running))
        at_a_time = max(self._concurrent, len(running))  # more where a node has joined
        return max([(sum(own) + waiting) / at_a_time, *own])


def _unit(kind: ScoreKind) -> str:
    return "" if kind.unit == "fraction" else f" {kind.unit}"


def _in_brackets(kind: ScoreKind) -> str:
    return "" if kind.unit == "fraction" else f" ({kind.unit})"


def _number(value: Any, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
