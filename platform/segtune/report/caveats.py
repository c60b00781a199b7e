"""What would change a conclusion: the objections that the study's own numbers raise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segtune.report.budget import Budget
from segtune.report.carried import carriers
from segtune.report.finalists import KIND as FINALISTS
from segtune.report.head import unlike
from segtune.report.paired import MARKS, Comparison, Difference, trials_by_seed
from segtune.report.patients import MIN_FOR_INTERVAL
from segtune.report.stats import MIN_PATIENTS, MIN_SEEDS, POWER, needed
from segtune.report.text import count, listing, number, setting
from segtune.report.tuning import candidates
from segtune.results.images import image_scores
from segtune.results.measures import choose, select
from segtune.results.study_rows import MACRO, StudyRows

MATTERS = 0.01
"""The difference of a score between 0 and 1 that is asked for: one Dice point, below which papers
of this field seldom claim anything."""
_LAST = 0.25
"""Part of the training over which a rise is told."""


@dataclass(frozen=True)
class Caveat:
    """One objection."""

    title: str
    """`too few seeds`: what the first screen says."""
    text: str
    """With the numbers."""


def caveats(
    rows: StudyRows, comparisons: Sequence[Comparison], given: Budget
) -> tuple[Caveat, ...]:
    """All that apply, the gravest first; of the first objective where about a difference."""
    first = comparisons[0] if comparisons else None
    found = [
        *_unfair(rows, given),
        *(_too_few(first) if first is not None else ()),
        *_edges(rows),
        *(_searched(rows) if rows.kind == FINALISTS else _untuned(rows)),
        *_rising(rows),
        *(_carried(rows, first) if first is not None else ()),
    ]
    return tuple(found)


def _unfair(rows: StudyRows, given: Budget) -> tuple[Caveat, ...]:
    """Arms that did not run under the same conditions, or had more than others."""
    found = []
    if different := unlike(rows):
        what = listing([one.what for one in different])
        said = " ".join(f"{one.text}." for one in different)
        found.append(Caveat(f"arms ran with different {what}", said))
    if given.unequal:
        found.append(
            Caveat("arms did not have the same chances", f"Not equal: {'; '.join(given.unequal)}.")
        )
    return tuple(found)


def _too_few(comparison: Comparison) -> tuple[Caveat, ...]:
    """Seeds and patients that it would take to tell the arms that one cannot tell yet."""
    measure, tests = comparison.measure, len(comparison.differences)
    told = [d for d in comparison.differences if d.verdict.word == "cannot tell" and d.same_data]
    return (
        *_none_tested(told),
        *_few_patients(comparison),
        *(_power(told, comparison, tests) if measure.is_fraction else ()),
    )


def _few_patients(comparison: Comparison) -> list[Caveat]:
    """Verdicts that rest on hardly any patients, however well these agree."""
    found = [d for d in comparison.differences if d.verdict.word in MARKS]
    few = [d for d in found if d.patients < MIN_FOR_INTERVAL]
    if not few:
        return []
    fewest = min(d.patients for d in few)
    return [
        Caveat(
            f"only {fewest} test patients",
            f"{listing([d.arm for d in few])}: patients of a kind that is not among these {fewest} "
            "cannot show in any interval or test.",
        )
    ]


def _none_tested(told: Sequence[Difference]) -> list[Caveat]:
    """Arms with too little of something for any test."""
    found = []
    fewest = min((len(d.seeds) for d in told), default=MIN_SEEDS)
    if fewest < MIN_SEEDS:
        arms = [d.arm for d in told if len(d.seeds) == fewest]
        found.append(
            Caveat(
                "too few seeds",
                f"{listing(arms)}: n = {count(fewest, 'paired seed')} says too little of how much "
                f"seeds differ. At least {MIN_SEEDS} are needed for a test at all, and for telling "
                "how many more it would take.",
            )
        )
    scarce = [d for d in told if d.effective_patients < MIN_PATIENTS]
    if scarce:
        worth = min(d.effective_patients for d in scarce)
        found.append(
            Caveat(
                "too few test patients",
                f"{listing([d.arm for d in scarce])}: the test images are of "
                f"{count(scarce[0].patients, 'patient')} that weigh as {worth:.3g}, which "
                f"says too little of how much patients differ. At least {MIN_PATIENTS} with as "
                "many images each are needed for a test at all.",
            )
        )
    return found


def _power(told: Sequence[Difference], comparison: Comparison, tests: int) -> list[Caveat]:
    """From the spread that was seen, how many seeds and patients would be enough together.

    Both spreads are in the test, so each may bring half of the variance that the power allows:
    for each the difference to be shown is smaller by the root of two.
    """
    measure = comparison.measure
    asked = f"a difference of {MATTERS} in {measure.name} ({round(100 * POWER)} % power, "
    asked += f"5 % level{f' over {tests} arms' if tests > 1 else ''}, paired t test)"
    spread: list[tuple[str, Callable[[Difference], tuple[float, ...]]]] = [
        ("seed", lambda d: d.per_seed),
        ("test patient", lambda d: d.per_patient),
    ]
    tested, found = [d for d in told if d.p is not None], []
    for noun, of in spread:
        wanted = {d: _needed(of(d), tests) for d in tested}
        short = {d: n for d, n in wanted.items() if n is not None and n > len(of(d))}
        if short:
            worst = max(short, key=lambda d: short[d] - len(of(d)))
            sd, n = float(np.std(of(worst), ddof=1)), len(of(worst))
            others = [d.arm for d in short if d is not worst]
            found.append(
                Caveat(
                    f"too few {noun}s",
                    f"{worst.arm}'s difference from {comparison.baseline} varies over {noun}s with "
                    f"sd {number(sd, measure.digits)} (n = {n}): to show {asked} it takes about "
                    f"{_about(short[worst])} {noun}s instead of {n}, if there are enough "
                    f"{'test patients' if noun == 'seed' else 'seeds'} as well"
                    f"{f'; {listing(others)} would need more, too' if others else ''}.",
                )
            )
    return found


def _about(n: int) -> str:
    """A number that is an estimate, with no more digits than it has."""
    return f"{n if n < 100 else round(n, 2 - len(str(n))):,}"


def _needed(values: Sequence[float], tests: int) -> int | None:
    return needed(MATTERS / math.sqrt(2), float(np.std(values, ddof=1)), tests)


def _edges(rows: StudyRows) -> tuple[Caveat, ...]:
    """Tuned values at an end of the range that was tried."""
    _, tried = candidates(rows)
    defined = rows.definition.get("tune") or {}
    said = []
    for one in (c for c in tried if c.chosen):
        for field, values in (defined.get(one.arm) or {}).items():
            end = _end(one.settings.get(field), values)
            if end:
                said.append(f"{one.arm}'s {field}={setting(one.settings[field])} is the {end} of "
                            f"{listing([setting(v) for v in sorted(values)])}")  # fmt: skip
    if not said:
        return ()
    return (
        Caveat(
            "tuned values at the edge of their range",
            f"{'; '.join(said)}. A value beyond was not tried and may be better.",
        ),
    )


def _end(chosen: Any, values: Sequence[Any]) -> str:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != len(values) or len(set(numbers)) < 2 or chosen not in numbers:
        return ""
    return {min(numbers): "smallest", max(numbers): "largest"}.get(chosen, "")


def _searched(rows: StudyRows) -> tuple[Caveat, ...]:
    """What it means that finalists were chosen from many."""
    n = count(int(rows.definition["searched"]), "trial")
    if rows.baseline is None:
        return (
            Caveat(
                "the baseline was not repeated",
                "No finalist has the baseline's settings, so nothing says whether the search found "
                "better ones. It is the search's first trial: train it with the same seeds.",
            ),
        )
    return (
        Caveat(
            "the baseline's settings were not searched for",
            f"The other finalists are the best of {n} on val, {rows.baseline} is the baseline as "
            "it was: what shows is what searching brought, not that a method is better.",
        ),
    )


def _untuned(rows: StudyRows) -> tuple[Caveat, ...]:
    tuned = [arm for arm in rows.arms if len(rows.of("tune", arm=arm))]
    rest = [arm for arm in rows.arms if arm not in tuned and len(rows.of("arm", arm=arm))]
    if len(rest) < 2 and not tuned or not rest:
        return ()
    who = listing(rest) if tuned else "No arm"
    text = "were not tuned while others were" if tuned else "was tuned on val"
    return (
        Caveat(
            "learning rates not tuned" if not tuned else "not every arm was tuned",
            f"{who} {text}: an arm's settings, its learning rate above all, may suit one method "
            "better than another.",
        ),
    )


def _rising(rows: StudyRows) -> tuple[Caveat, ...]:
    """Arms whose score on val was best at the very end in most of their trials."""
    objective = rows.selects
    arms = {arm: list(trials_by_seed(rows, arm).values()) for arm in rows.arms}
    measure = choose(rows, objective.metric, "val") if any(arms.values()) else None
    if measure is None:
        return ()
    val = select(rows.scores, measure, "val")
    val = val[
        (val["class_name"] == MACRO) & val["trial_id"].isin([t for a in arms.values() for t in a])
    ]
    curves = {
        str(trial): np.asarray(of_trial["value"].dropna(), dtype=float)
        for trial, of_trial in val.sort_values("epoch").groupby("trial_id")
    }
    pick, said = (np.argmax if objective.maximize else np.argmin), []
    for arm, trials in arms.items():
        own = [curves[t] for t in trials if t in curves and len(curves[t]) > 1]
        at_end = [c for c in own if pick(c) == len(c) - 1]
        if own and 2 * len(at_end) > len(own):
            gains = [c[-1] - c[-1 - math.ceil(_LAST * (len(c) - 1))] for c in at_end]
            gain = number(float(np.mean(gains)), measure.digits, sign=True)
            said.append(f"{arm} in {len(at_end)} of {len(own)} ({gain})")
    if not said:
        return ()
    return (
        Caveat(
            "curves still rising at the end",
            f"{measure.label} on val was best after the very last epoch: {listing(said)}; in "
            "brackets what the last quarter of the training brought. Longer training may change "
            "the order.",
        ),
    )


def _carried(rows: StudyRows, comparison: Comparison) -> tuple[Caveat, ...]:
    """Single seeds, patients or images without which a verdict or a sign would be another."""
    images = image_scores(rows, comparison.measure, "test")
    if rows.baseline is None or not images.samples:
        return ()
    base, said, few = trials_by_seed(rows, rows.baseline), [], []
    p_values = {d.arm: d.p for d in comparison.differences}
    for d in comparison.differences:
        own = trials_by_seed(rows, d.arm)
        pairs = {s: (own[s], base[s]) for s in d.seeds}
        if d.p is not None and all(t in images.of_trial for pair in pairs.values() for t in pair):
            said += carriers(d, pairs, images, comparison.measure, p_values)
            few += [d.arm] if len(d.seeds) == MIN_SEEDS else []
    found = []
    if said:
        found.append(
            Caveat(
                "a single patient, image or seed carries a difference",
                f"{'; '.join(said)}. (Of each kind the two that move a difference most were left "
                "out, one at a time, and the test repeated.)",
            )
        )
    if few:
        found.append(
            Caveat(
                "not checked without single seeds",
                f"{listing(few)}: without one of {MIN_SEEDS} seeds there is no test, so whether a "
                "single seed carries the difference could not be looked at.",
            )
        )
    return tuple(found)
