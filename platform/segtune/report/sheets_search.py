"""What a search and a tuning tried, and what did not finish, as tables of words."""

from collections.abc import Mapping, Sequence

from segtune.report.cost import QUANTITIES, Cost
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.sheet import Cell, Sheet, mean
from segtune.report.stopped import Failure
from segtune.report.style import Look
from segtune.report.summary import Column
from segtune.report.text import (
    DASH,
    number,
)
from segtune.report.tuning import Candidate
from segtune.results.measures import Measure


def search_sheet(
    trials: Sequence[SearchTrial],
    search: SearchRows,
    columns: Sequence[Column],
    scores: Mapping[tuple[str, str], float],
    costs: Mapping[str, Cost],
) -> Sheet:
    """The best trials of a search: scores on val at the best epoch, and what they cost."""
    shown = [q for q in QUANTITIES if q.key != "gradients"]
    digits = [*(c.measure.digits for c in columns), *(q.digits for q in shown)]
    rows, raw = [], []
    for t in trials:
        found = [scores.get((t.trial_id, c.key)) for c in columns]
        cost = [mean(costs[t.trial_id].values.get(q.key)) if t.trial_id in costs else None
                for q in shown]  # fmt: skip
        name = f"t{t.number}" + (" (Pareto)" if t.on_front else "")
        numbers = zip([*found, *cost], digits, strict=True)
        rows.append(
            (
                Cell(name, small=t.text, left=True),
                Cell(DASH if t.best_epoch is None else str(t.best_epoch)),
                *(Cell(number(v, d)) for v, d in numbers),
            )
        )
        raw.append((t.trial_id, t.number, t.seed, t.text, t.best_epoch, *found, *cost))
    return Sheet(
        "summary",
        ("trial", "best epoch", *(c.label for c in columns), *(q.label for q in shown)),
        tuple(rows),
        frozenset(i for i, t in enumerate(trials) if t.on_front),
        ("trial", "number", "seed", "changes", "best_epoch", *(c.key for c in columns),
         *(q.key for q in shown)),
        tuple(raw),
    )  # fmt: skip


def tuning_sheet(
    candidates: Sequence[Candidate], measure: Measure | None, looks: Mapping[str, Look]
) -> Sheet:
    """What was tried per arm before the seeds ran."""
    label = "score" if measure is None else f"{measure.label} on val"
    digits = 3 if measure is None else measure.digits
    return Sheet(
        "tuning",
        ("arm", "tried", "status", label, ""),
        tuple(
            (
                Cell(c.arm, color=looks[c.arm].color, left=True),
                Cell(c.changes, left=True),
                Cell(c.status, left=True),
                Cell(number(c.value, digits)),
                Cell("best of its arm" if c.chosen else "", left=True),
            )
            for c in candidates
        ),
        frozenset(i for i, c in enumerate(candidates) if c.chosen),
    )


def failure_sheet(failures: Sequence[Failure]) -> Sheet:
    """Trials that did not finish, with their errors."""
    return Sheet(
        "failures",
        ("trial", "status", "attempt", "epochs scored", "error"),
        tuple(
            (
                Cell(f.trial_id, left=True),
                Cell(f.status, left=True),
                Cell(str(f.attempt)),
                Cell(str(f.epochs)),
                _error(f.error),
            )
            for f in failures
        ),
    )


def _error(text: str) -> Cell:
    """The last line says what went wrong; the rest says where."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return Cell("no error recorded", left=True)
    return Cell(lines[-1].strip(), details=text if len(lines) > 1 else "", left=True)
