"""`segtune status`: where a study stands, from its tables; where a job stands, from its cluster."""

import argparse
import io
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from segtune.as_json import json_argument, print_json
from segtune.commands.shared import storage_argument
from segtune.commands.submit import address_argument, follow_to_end

if TYPE_CHECKING:
    from segtune.results.status.study import StudyStatus
    from segtune.results.status.trials import TrialStatus
    from segtune.study.scores import ScoreKind

HELP = "where a study stands: its trials, scores, time left and errors"
SECONDS = 5.0
"""Between two looks of --watch, where looking takes less than a quarter of that."""
ROOM = 24
"""Columns that errors in the table take at least; in full they stand below it."""
LAST_LINES = 20
"""Of a job's log."""
MACHINE = ("CPUs", "GPU", "GPU mem")
"""Columns that are there where they were measured."""
FEWEST = 3
"""Trials that a low screen shows."""
_NAMES_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(: |$)")
_STYLES = {"running": "green", "silent": "yellow", "failed": "red", "damaged": "red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, where its results lie, and whether to stay."""
    parser.add_argument(
        "study", metavar="STUDY", help="the name that it was run under; with --address also a job"
    )
    storage_argument(parser)
    address_argument(parser, required=False)
    json_argument(parser)
    parser.add_argument(
        "--watch", action="store_true", help="draw it anew, or follow a job's log, until Ctrl-C"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Show it once, or until Ctrl-C."""
    if args.json and (args.watch or args.address is not None):
        raise ValueError("--json shows a study's tables, once: leave out --watch and --address")
    if args.address is not None:
        return _job(args, console)
    from segtune.results.status.study import read_status

    def now() -> "StudyStatus":
        return read_status(args.storage, args.study, datetime.now(UTC))

    if args.json:
        print_json(now())
        return 0
    if not args.watch:
        console.print(status_screen(now(), console.width), soft_wrap=False)
        return 0
    if not console.is_terminal:
        raise ValueError("--watch redraws a terminal, and the output is none: leave it out")
    # Of the same terminal, without soft wrap: a line is a line.
    screen = Console(markup=False, emoji=False)
    with Live(console=screen, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            try:
                shown = status_screen(now(), screen.width, screen.height)
            except OSError as error:  # a network's storage may be gone for a moment
                shown = Text(f"{error}; looking again every few seconds", style="red")
            live.update(shown, refresh=True)
            # A study of a thousand trials takes seconds to read: leave the CPU to its training.
            time.sleep(max(SECONDS, 4 * (time.monotonic() - began)))


def _job(args: argparse.Namespace, console: Console) -> int:
    """A job as its cluster knows it: what it is, and its log."""
    from segtune.jobs.connect import connect
    from segtune.jobs.job import find_job, summary

    client = connect(args.address)
    job = find_job(client, args.study)
    console.print(Text(summary(job)))
    if args.watch and not job.status.is_terminal():
        return follow_to_end(args.address, str(job.submission_id), console)
    log = client.get_job_logs(str(job.submission_id)).splitlines()
    console.print(Text("\n".join(log[-LAST_LINES:])), end="\n" if log else "")
    return 0


def status_screen(study: "StudyStatus", width: int, height: int | None = None) -> RenderableType:
    """A study as a terminal shows it.

    Args:
        study: where it stands.
        width: of the terminal, columns.
        height: of the terminal, lines: trials that do not fit are counted; None shows all.
    """
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False)
    shown = study.trials[:height]
    screen = _screen(study, shown, console)
    if height is None:
        return screen
    while len(shown) > FEWEST and len(console.render_lines(screen)) >= height:
        shown = shown[:-1]
        screen = _screen(study, shown, console)
    return screen


def _screen(study: "StudyStatus", trials: "Sequence[TrialStatus]", console: Console) -> Group:
    parts: list[RenderableType] = [_head(study)]
    if trials:
        parts += [Text(), _table(trials, study.shown, console)]
    if hidden := len(study.trials) - len(trials):
        parts.append(Text(f"and {hidden} more", style="dim"))
    return Group(*parts, *_errors(study.trials))


def _table(
    trials: "Sequence[TrialStatus]", shown: "Mapping[str, ScoreKind]", console: Console
) -> Table:
    """A row per trial; with the errors, shortened, where the rest leaves room for them."""
    grid = _grid(trials, shown, room=0)
    room = console.width - console.measure(grid).maximum - 2
    with_errors = room >= ROOM and any(t.error for t in trials)
    return _grid(trials, shown, room) if with_errors else grid


def _grid(trials: "Sequence[TrialStatus]", shown: "Mapping[str, ScoreKind]", room: int) -> Table:
    """With `room` columns for errors; 0 leaves them out."""
    grid = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    grid.add_column("trial", overflow="fold")
    grid.add_column("state")
    labels = [kind.label for kind in shown.values()]
    machine = [heading for heading in MACHINE if any(_machine(t)[heading] for t in trials)]
    for heading in ("epoch", *labels, "best", "s/ep", "left", "memory", *machine, "try"):
        grid.add_column(heading, justify="right", no_wrap=True)
    if room:
        grid.add_column("error", no_wrap=True, overflow="ellipsis", max_width=room)
    for trial in trials:
        used = [_machine(trial)[heading] or "-" for heading in machine]
        grid.add_row(
            *_row(trial, shown),
            *used,
            str(trial.attempt),
            *([_short(trial.error)] if room else []),
        )
    return grid


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20`, `2 d 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def _head(study: "StudyStatus") -> Text:
    head = Text.assemble((study.name, "bold"), f": {study.total} trials")
    for state, count in study.counts.items():
        head.append(", ").append(f"{count} {state}", style=_STYLES.get(state, ""))
    if study.waiting:
        head.append(f", {study.waiting} not yet begun")
    if study.question:
        head.append(f"\n{study.question}", style="dim")
    left = study.time_left
    if left is not None:
        concurrent = "one trial" if left.concurrent == 1 else f"{left.concurrent} trials"
        about = "at most about" if left.at_most else "about"
        head.append(f"\n{about} {duration(left.seconds)} left", style="bold")
        head.append(f": {concurrent} at a time, each at the pace of its own finished epochs")
        if left.guessed:
            head.append(f", {left.guessed} at the median pace of their arm or of the study")
        head.append("; tests at the end not counted")
        if left.at_most:
            head.append("; trials may end before their last epoch")
    if study.spent.money is not None:
        head.append(f"\n{study.spent.money} so far", style="bold")
        head.append(f" for {duration(study.spent.seconds)} of trials")
        if study.money_left is not None:
            about = "at most about" if left is not None and left.at_most else "about"
            head.append(f", {about} {study.money_left} to come at {study.spent.price} an hour")
        if study.spent.unpriced_seconds:
            head.append(f"; {duration(study.spent.unpriced_seconds)} had no price: not counted")
    if study.looks:
        looks = ", ".join(map(str, study.looks))
        head.append(
            f"\nlooked at after {looks} seeds: trials that a look to come may add are not counted",
            style="dim",
        )
    if study.counts.get("silent"):
        head.append(
            "\nsilent: no row for longer than the trial's epochs explain; if its run was killed, "
            "the command that ran the study goes on from its checkpoint",
            style="yellow",
        )
    if study.counts.get("failed"):
        head.append("\nfailed: the command that ran the study tries them again", style="red")
    if study.counts.get("damaged"):
        head.append(
            "\ndamaged: results of these trials are lost; "
            "the command that ran the study trains them again",
            style="red",
        )
    return head


def _row(trial: "TrialStatus", shown: "Mapping[str, ScoreKind]") -> list[RenderableType]:
    state = Text(trial.state, style=_STYLES.get(trial.state, ""))
    if trial.state == "silent":
        state.append(f" since {_clock(trial.written)}")
    return [
        Text(trial.trial_id),
        state,
        f"{trial.epoch}/{trial.epochs or '?'}",
        *(_number(trial.scores.get(name), kind.digits) for name, kind in shown.items()),
        "-" if trial.best_epoch is None else str(trial.best_epoch),
        _number(trial.epoch_seconds, 1),
        "-" if trial.seconds_left is None else duration(trial.seconds_left),
        "-" if trial.memory_bytes is None else f"{trial.memory_bytes / 1e9:.1f} GB",
    ]


def _machine(trial: "TrialStatus") -> dict[str, str]:
    """What a trial uses of its machine, by heading; empty where it was not measured."""
    cpus, gpu, memory = trial.cpus_used, trial.gpu_utilisation, trial.gpu_memory_bytes
    shown = (
        "" if cpus is None else f"{cpus:.1f}",
        "" if gpu is None else f"{100 * gpu:.0f} %",
        "" if memory is None else f"{memory / 1e9:.1f} GB",
    )
    return dict(zip(MACHINE, shown, strict=True))


def _clock(moment: datetime) -> str:
    """In this machine's time zone; with the day where it is not today's."""
    local = moment.astimezone()
    same_day = local.date() == datetime.now(local.tzinfo).date()
    return f"{local:%H:%M}" if same_day else f"{local:%d %b %H:%M}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _short(error: str | None) -> Text:
    """Its last line that names an exception, else its first."""
    lines = (error or "").strip().splitlines()
    naming = [line for line in lines if _NAMES_EXCEPTION.match(line)]
    return Text((naming[-1:] or lines[:1] or [""])[0])


def _errors(trials: "tuple[TrialStatus, ...]") -> list[Text]:
    """The full text of each error, once, with the trials that it ended."""
    of_error: dict[str, list[str]] = {}
    for trial in trials:
        if trial.error:
            of_error.setdefault(trial.error.strip(), []).append(trial.trial_id)
    out = []
    for error, ended in of_error.items():
        out += [Text(), Text(f"{', '.join(ended)}:", style="red")]
        out += [Text(f"  {line}") for line in error.splitlines()]
    return out
