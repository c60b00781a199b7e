"""What each arm was given: its budget, and its tuning trials."""

from collections.abc import Sequence

from segtune.report.evidence.objections.fairness import ArmBudget, Budget
from segtune.report.evidence.objections.tuning import Candidate, candidates
from segtune.report.page.look import Looks
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import DASH, changes_text, number, setting
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows
from segtune.results.study_scores import StudyScores


def budget_sheet(found: Budget, looks: Looks) -> Sheet:
    """What each arm was given."""
    return Sheet(
        "budget",
        (
            "arm",
            "differs from the baseline in",
            "tuning trials",
            "tuned",
            "optimizer steps",
            "clipped",
        ),
        tuple(
            (
                Cell(a.arm, color=looks[a.arm].color, left=True),
                Cell(changes_text(a.changes) or DASH, left=True),
                Cell(str(a.tries)),
                Cell(_ranges(a) or DASH, left=True),
                Cell(" / ".join(map(str, a.steps)) or DASH),
                Cell(DASH if a.clipped is None else f"{a.clipped:.0%}"),
            )
            for a in found.arms
        ),
        frozenset(),
        ("arm", "changes", "tuning_trials", "tuned", "steps", "clipped"),
        tuple(
            (
                a.arm,
                changes_text(a.changes),
                a.tries,
                _ranges(a),
                "/".join(map(str, a.steps)),
                a.clipped,
            )
            for a in found.arms
        ),
    )


def _ranges(arm: ArmBudget) -> str:
    """The values that were to be tried, by field."""
    return "; ".join(
        f"{field}: {', '.join(map(setting, values))}" for field, values in arm.tuned.items()
    )


def tuning_sheet(candidates: Sequence[Candidate], measure: Measure | None, looks: Looks) -> Sheet:
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


def budget_part(rows: StudyRows, found: Budget, looks: Looks) -> Part | None:
    """Whether the arms had an equal budget; None before an arm's trial has finished."""
    if not len(rows.of("arm", status="finished")):
        return None
    return Part(
        "Equal budget",
        "What all finished trials had in common, what differed, and what each arm was given.",
        sheet=budget_sheet(found, looks),
        sentences=found.sentences,
    )


def tuning_part(study: StudyScores, looks: Looks) -> Part | None:
    """The tuning trials; None where no arm was tuned."""
    measure, found = candidates(study)
    if not found:
        return None
    return Part(
        "Tuning on val, before the seeds",
        f"n={len(found)} trials; the best of an arm on val went into its seeds. How many tries "
        "each arm had is said under equal budget.",
        sheet=tuning_sheet(found, measure, looks),
    )
