"""What arms cost and were given, and what papers report, as tables of words."""

from collections.abc import Mapping, Sequence

from segtune.report.budget import ArmBudget, Budget
from segtune.report.cost import PARTS, QUANTITIES, Cost, quantity
from segtune.report.sheet import Cell, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.report.stats import Estimate
from segtune.report.style import Look
from segtune.report.text import DASH, changes_text, setting
from segtune.results.reported import Reported
from segtune.results.study_rows import StudyRows


def memory_sheet(costs: Sequence[Cost], looks: Mapping[str, Look]) -> Sheet:
    """Parameters that move, and bytes, per arm."""
    shown = [q for q in QUANTITIES if q.key != "seconds"]
    columns = [(q.key, q.label, q.digits) for q in shown]
    return _cost_sheet("memory", costs, looks, columns, [c.values for c in costs])


def time_sheet(costs: Sequence[Cost], looks: Mapping[str, Look]) -> Sheet:
    """Seconds per step and arm: whole steps, then their parts."""
    whole = quantity("seconds")
    columns = [
        (whole.key, whole.label, whole.digits),
        *((f"seconds_{p}", f"{p}, mean", whole.digits) for p in PARTS),
    ]
    parts = [{f"seconds_{p}": e for p, e in c.parts.items()} for c in costs]
    found = [{**c.values, **p} for c, p in zip(costs, parts, strict=True)]
    return _cost_sheet("time", costs, looks, columns, found)


def _cost_sheet(
    name: str,
    costs: Sequence[Cost],
    looks: Mapping[str, Look],
    columns: Sequence[tuple[str, str, int]],
    found: Sequence[Mapping[str, Estimate]],
) -> Sheet:
    rows, raw = [], []
    for cost, estimates in zip(costs, found, strict=True):
        cells = [estimate_cell(estimates.get(key), cost.n, digits) for key, _, digits in columns]
        arm = Cell(cost.name, color=looks[cost.name].color, left=True)
        rows.append((arm, Cell(str(cost.n)), *cells))
        raw.append(
            (cost.name, cost.n, *(v for k, _, _ in columns for v in raw_estimate(estimates.get(k))))
        )
    return Sheet(
        name,
        ("arm", "seeds", *(label for _, label, _ in columns)),
        tuple(rows),
        frozenset(i for i, c in enumerate(costs) if c.is_baseline),
        ("arm", "seeds", *(h for key, _, _ in columns for h in raw_header_of(key))),
        tuple(raw),
    )


def budget_sheet(found: Budget, looks: Mapping[str, Look]) -> Sheet:
    """What each arm was given."""
    return Sheet(
        "budget",
        ("arm", "differs from the baseline in", "tuning trials", "tuned", "optimizer steps"),
        tuple(
            (
                Cell(a.arm, color=looks[a.arm].color, left=True),
                Cell(changes_text(a.changes) or DASH, left=True),
                Cell(str(a.tries)),
                Cell(_ranges(a) or DASH, left=True),
                Cell(" / ".join(map(str, a.steps)) or DASH),
            )
            for a in found.arms
        ),
        frozenset(),
        ("arm", "changes", "tuning_trials", "tuned", "steps"),
        tuple(
            (a.arm, changes_text(a.changes), a.tries, _ranges(a), "/".join(map(str, a.steps)))
            for a in found.arms
        ),
    )


def _ranges(arm: ArmBudget) -> str:
    return "; ".join(
        f"{field}: {', '.join(map(setting, values))}" for field, values in arm.tuned.items()
    )


def reported_sheet(found: Sequence[Reported]) -> Sheet:
    """Papers' numbers, which enter nothing else."""
    header = ("method", "metric", "value, as reported", "on", "source")
    return Sheet(
        "reported",
        header,
        tuple(
            (
                Cell(r.method, left=True),
                Cell(r.metric, left=True),
                Cell(f"{r.value:g}"),
                Cell(r.data, left=True),
                Cell(r.source, left=True),
            )
            for r in found
        ),
        frozenset(),
        ("method", "metric", "value", "data", "source"),
        tuple((r.method, r.metric, r.value, r.data, r.source) for r in found),
        legend="Reported, not reproduced.",
    )


def arm_notes(rows: StudyRows, costs: Sequence[Cost]) -> dict[str, str]:
    """Arm -> what hovering over its point says."""
    return {
        c.name: f"n={c.n} seeds" + (", baseline" if c.name == rows.baseline else "") for c in costs
    }
