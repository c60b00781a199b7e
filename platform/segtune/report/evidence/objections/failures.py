"""Rare failures as objections: those that were seen, and those that the seeds cannot show."""

from collections.abc import Sequence

from segtune.report.evidence.differences.compare import Comparison
from segtune.report.evidence.failures.rare_failures import (
    LOSS,
    MANY_ZEROS,
    RATE,
    ArmFailures,
    seed_text,
    unseen,
)
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.page.text import MANY_ARMS, count, listing, number, percent, some
from segtune.results.measures import Measure


def training_caveats(
    failures: Sequence[ArmFailures], comparison: Comparison | None, measure: Measure | None
) -> tuple[Caveat, ...]:
    """Trainings that failed, and those that the seeds cannot show."""
    if measure is None:
        return ()
    return (
        *_diverged(failures, measure),
        *_failed(failures),
        *(_hidden(failures, comparison) if comparison is not None else ()),
    )


def image_caveats(failures: Sequence[ArmFailures], measure: Measure | None) -> tuple[Caveat, ...]:
    """Patients that are far off, and objects that were missed."""
    if measure is None:
        return ()
    return (*_odd_patients(failures, measure), *_zeros(failures, measure))


def _diverged(failures: Sequence[ArmFailures], measure: Measure) -> list[Caveat]:
    odd = [(f.arm, one) for f in failures for one in f.seeds]
    if not odd:
        return []
    title = (
        "a training that failed is averaged"
        if len(odd) == 1
        else (f"{len(odd)} trainings that failed are averaged")
    )
    shown = [seed_text(arm, one, measure) for arm, one in odd[:MANY_ARMS]]
    more = [count(len(odd) - MANY_ARMS, "further training")] if len(odd) > MANY_ARMS else []
    return [
        Caveat(
            title,
            f"{'; '.join([*shown, *more])}. So far from the rest, this is a failure and not how "
            "seeds vary: look at its curve, and say how often it happened beside the mean.",
        )
    ]


def _failed(failures: Sequence[ArmFailures]) -> list[Caveat]:
    failed = [
        f"{f.arm} {f.failed} of {f.finished + f.failed}"
        for f in failures
        if f.failed and f.finished
    ]
    if not failed:
        return []
    return [
        Caveat(
            "failed trainings are in no mean",
            f"{some(failed, 'arm')}. Where an arm's own settings made them fail, the mean is over "
            "those that went well.",
        )
    ]


def _hidden(failures: Sequence[ArmFailures], comparison: Comparison) -> list[Caveat]:
    """Verdicts on differences as small as what a failure of few trainings would make."""
    arms = [f.arm for f in failures if f.hidden]
    if not arms:
        return []
    n = min(len(d.seeds) for d in comparison.differences if d.arm in arms)
    return [
        Caveat(
            "a rare failure may not have shown",
            f"{some(arms, 'arm')}: if one training in {1 / RATE:.0f} of an arm lost {LOSS}, its "
            f"true mean would be {RATE * LOSS:.2f} lower, and {n} seeds would show no such "
            f"training in {percent(unseen(n))} of studies. A difference as small as these can be "
            "made by failures that the seeds missed: no test can know, more seeds can.",
        )
    ]


def _odd_patients(failures: Sequence[ArmFailures], measure: Measure) -> list[Caveat]:
    clauses = []
    for f in (f for f in failures if f.patients):
        assert f.skew is not None
        digits = measure.digits
        named = [
            f"{p.patient} ({number(p.value, digits, sign=True)}, the others "
            f"{number(p.others, digits, sign=True)} on average)"
            for p in f.patients
        ]
        clauses.append(
            f"{f.arm}: {some(named, 'patient')}, skewness {number(f.skew, 1, sign=True)}"
        )
    if not clauses:
        return []
    more = [count(len(clauses) - MANY_ARMS, "further arm")] if len(clauses) > MANY_ARMS else []
    return [
        Caveat(
            "single patients are far off",
            f"{'; '.join([*clauses[:MANY_ARMS], *more])}. Patients like these, had more or fewer "
            "been tested, would move the difference.",
        )
    ]


def _zeros(failures: Sequence[ArmFailures], measure: Measure) -> list[Caveat]:
    """Arms that missed objects altogether."""
    many = [f for f in failures if (f.zeros or 0) >= MANY_ZEROS]
    if not many:
        return []
    ranked = sorted(many, key=lambda f: -(f.zeros or 0))
    shown = [
        f"{f.arm} {percent(f.zeros or 0)}"
        + (
            f" ({listing([f'{name} {percent(share)}' for name, share in f.lost])})"
            if f.lost
            else ""
        )
        for f in ranked
    ]
    rest = len(failures) - len(many)
    less = f"; {count(rest, 'other arm')} below {percent(MANY_ZEROS)}" if rest else ""
    return [
        Caveat(
            "objects not found at all",
            f"Share of test images and classes with {measure.name} 0, over all seeds: "
            f"{some(shown, 'arm')}{less}. There a mean says how often something was found, more "
            "than how well.",
        )
    ]
