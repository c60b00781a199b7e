"""Trainings in many processes, each written to a file of JSON lines as soon as it is done."""

import json
import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from .arms import ARMS
from .plan import Cell, Run, due_runs
from .tasks import TASKS

_WARM_UP = 10
"""Steps in which the rate rises; it then falls to zero in a straight line."""


def train(run: Run) -> dict[str, Any]:
    """One training: a row of the file. Its score is None where it diverged."""
    cell, task = run.cell, TASKS[run.cell.task]
    began = time.perf_counter()
    training = task.build(run.seed)
    weights = training.projected
    projected = {id(weight) for weight in weights}
    trained = [p for p in training.model.parameters() if p.requires_grad]
    plain = [p for p in trained if id(p) not in projected]
    optimizer = ARMS[cell.arm].build(weights, plain, cell.rank or 1, cell.gap or 1, run.rate)

    def share(step: int) -> float:
        return min(1.0, (step + 1) / _WARM_UP) * (1 - step / task.steps)

    schedule = LambdaLR(optimizer, share)
    for _ in range(task.steps):
        training.model.zero_grad()
        loss = training.loss()
        loss.backward()
        optimizer.step()
        schedule.step()
        if not math.isfinite(loss.item()):
            break
    with torch.no_grad():
        score = training.score()
    states = (optimizer.state.get(weight, {}) for weight in weights)
    made = [int(state["refreshes"]) for state in states if "refreshes" in state]
    return {
        "task": cell.task,
        "arm": cell.arm,
        "rank": cell.rank,
        "gap": cell.gap,
        "rate": run.rate,
        "seed": run.seed,
        "score": score if math.isfinite(score) else None,
        "refreshes": fmean(made) if made else None,
        "seconds": round(time.perf_counter() - began, 2),
        "torch": torch.__version__,
    }


def read(path: Path) -> dict[Run, float]:
    """The scores of the runs in a file; infinite where a training diverged. Empty without one.

    Runs of arms that are no longer there are left out; the file keeps them.
    """
    scores = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        if row["arm"] not in ARMS:
            continue
        cell = Cell(row["task"], row["arm"], row["rank"], row["gap"])
        score = math.inf if row["score"] is None else row["score"]
        scores[Run(cell, row["rate"], row["seed"])] = score
    return scores


def run_all(
    path: Path, ordered: Sequence[Cell], *, seeds: Sequence[int], workers: int, minutes: float
) -> None:
    """Do the runs that the file lacks, the most important first, until all are done or time is up.

    Args:
        path: Of the file; a row is appended for each run.
        ordered: The cells, the most important first.
        seeds: With which each cell is judged.
        workers: Processes, with one thread each.
        minutes: After which no run is begun; those in progress are finished.
    """
    scores, end = read(path), time.monotonic() + 60 * minutes
    began, reported = time.monotonic(), 0.0
    running: dict[Future[dict[str, Any]], Run] = {}
    context = multiprocessing.get_context("spawn")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a") as file,
        ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool,
    ):
        while True:
            started = set(running.values())
            for run in due_runs(ordered, scores, seeds):
                if len(running) == workers or time.monotonic() >= end:
                    break
                if run not in started:
                    running[pool.submit(train, run)] = run
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                run, row = running.pop(done), done.result()
                scores[run] = math.inf if row["score"] is None else row["score"]
                file.write(json.dumps(row) + "\n")
                file.flush()
            if time.monotonic() - reported > 30:
                reported = time.monotonic()
                print(f"{len(scores)} runs after {(reported - began) / 60:.1f} min", flush=True)
    left = sum(1 for _ in due_runs(ordered, scores, seeds))
    print(f"{len(scores)} runs in {path}; {left} left that could be begun now", flush=True)
