"""The benchmark of quality: who is run when, at which rate, and what its tables say."""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from benchmarks.optimizer.quality import runs
from benchmarks.optimizer.quality.arms import ARMS
from benchmarks.optimizer.quality.plan import (
    TUNING_SEEDS,
    Cell,
    Run,
    cells,
    due_runs,
    judging_runs,
    tuned_rate,
    tuning_runs,
)
from benchmarks.optimizer.quality.tables import (
    Question,
    Side,
    difference_rows,
    questions,
    score_rows,
)
from benchmarks.optimizer.quality.tasks import QUICK, TASKS
from benchmarks.optimizer.quality.variants import LazyRefresh

OF_OTHERS = ("galore-torch", "apollo-torch", "Fira", "plus, 8-bit moments")
"""Arms that need packages which may not be here."""
OURS, SVD = Cell("pictures", "plus", 8, 20), Cell("pictures", "svd, keep", 8, 20)


def scored(cell: Cell, best: float, judged: Iterable[float] = ()) -> dict[Run, float]:
    """Tuning runs of which one rate is the best, and judging runs at it."""
    scores = {run: 1.0 + (run.rate != best) for run in tuning_runs(cell)}
    return scores | {Run(cell, best, seed): score for seed, score in enumerate(judged)}


def test_an_arm_is_judged_at_its_best_rate_with_other_seeds() -> None:
    scores = scored(OURS, 1e-2)
    assert tuned_rate(OURS, scores) == 1e-2
    judging = judging_runs(OURS, scores, range(5))
    assert {run.rate for run in judging} == {1e-2}
    assert {run.seed for run in judging}.isdisjoint(TUNING_SEEDS)
    assert len(judging) == 5
    diverged = {run: math.inf if run.rate == 1e-2 and run.seed == 101 else s
                for run, s in scores.items()}  # fmt: skip
    assert tuned_rate(OURS, diverged) != 1e-2


def test_a_run_that_is_there_is_not_repeated_and_none_is_judged_before_it_is_tuned() -> None:
    scores = scored(OURS, 1e-2, [1.0, 2.0])
    missing = tuning_runs(SVD)[0]
    scores |= {run: 1.0 for run in tuning_runs(SVD) if run != missing}
    assert list(due_runs([SVD, OURS], scores, range(3))) == [missing, Run(OURS, 1e-2, 2)]


def test_every_arm_has_the_same_budget_and_the_first_rank_comes_first() -> None:
    found = cells(tuple(TASKS), (8, 2))
    assert len(found) == len(set(found))
    assert {cell.arm for cell in found} == set(ARMS)
    assert len({len(tuning_runs(cell)) for cell in found}) == 1
    ranks = [cell.rank for cell in found if cell.rank is not None]
    assert ranks == sorted(ranks, reverse=True)


def test_a_verdict_needs_a_difference_that_shows_seed_by_seed() -> None:
    judged = [1.0, 2.0, 3.0, 4.0, 5.0]
    scores = scored(SVD, 1e-2, judged)
    asked = Question("", ((Side("plus", 20), Side("svd, keep", 20)),))
    words = {}
    for name, shifts in (("better", [0.1, 0.12, 0.11, 0.09, 0.1]), ("unclear", [1, -1, 1, -1, 0])):
        moved = [score - shift for score, shift in zip(judged, shifts, strict=True)]
        both = scores | scored(OURS, 3e-3, moved)
        (row,) = difference_rows(asked, both, ("pictures",), (8,), range(5))
        words[name] = str(row["pictures"])
    assert words["better"].startswith("-0.104 ")
    assert ": better (p " in words["better"]
    assert "cannot tell" in words["unclear"]


def test_questions_are_of_arms_that_run() -> None:
    there = {Side(c.arm, c.gap) for c in cells(tuple(TASKS), (8,))}
    asked = {side for question in questions() for pair in question.pairs for side in pair}
    known = {side for side in asked if side.arm in ARMS}
    assert known == asked
    assert {Side("plus", 20), Side("AdamW", None)} <= asked & there


@pytest.mark.parametrize("name", QUICK)
@torch.no_grad()
def test_a_seed_decides_a_training(name: str) -> None:
    losses = []
    for _ in range(2):
        training = TASKS[name].build(3)
        losses.append([training.loss().item(), training.loss().item(), training.score()])
        assert all(weight.dim() == 2 for weight in training.projected)
    assert losses[0] == losses[1]
    assert losses[0][0] != TASKS[name].build(4).loss().item()


def test_a_finished_run_is_written_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TASKS["regression"]
    short = type(task)(task.name, task.about, task.score, 2, task.rates, task.build)
    monkeypatch.setitem(TASKS, "regression", short)
    monkeypatch.setattr(LazyRefresh, "ENOUGH", 0.0)
    rows = [
        runs.train(Run(Cell("regression", arm, 2, 1), 1e-2, 0))
        for arm, known in ARMS.items()
        if known.low_rank and arm not in OF_OTHERS
    ]
    refreshes = {row["arm"]: row["refreshes"] for row in rows}
    assert (refreshes["plus"], refreshes["plus, lazy"]) == (2, 1)
    path = tmp_path / "runs.jsonl"
    diverged = {**rows[0], "score": None, "seed": 7}
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, diverged]))
    found = runs.read(path)
    assert len(found) == len(rows) + 1
    assert found[Run(Cell("regression", rows[0]["arm"], 2, 1), 1e-2, 7)] == math.inf
    assert len({row["score"] for row in rows}) == len(rows)  # no two arms are the same
    assert torch.isfinite(torch.tensor([row["score"] for row in rows])).all()


def test_runs_of_arms_that_went_are_left_out_of_the_recorded_ones() -> None:
    recorded = Path(runs.__file__).parents[2] / "results/optimizer_quality.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()]
    went = [row for row in rows if row["arm"] not in ARMS]
    scores = runs.read(recorded)
    assert went
    assert len(scores) == len(rows) - len(went)
    assert {run.cell.arm for run in scores} <= ARMS.keys()
    assert len(score_rows(scores, tuple(TASKS), 8, range(5))) > 10
    assert all(difference_rows(q, scores, tuple(TASKS), (8, 2), range(5)) for q in questions())
