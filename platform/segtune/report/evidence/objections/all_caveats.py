"""What would change a conclusion: the objections that the study's own numbers raise."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segtune.report.evidence.differences.compare import Comparison, trials_by_seed
from segtune.report.evidence.differences.margins import changed_margins
from segtune.report.evidence.failures.rare_failures import ArmFailures
from segtune.report.evidence.finalists import KIND as FINALISTS
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.evidence.objections.conditions import unlike_conditions
from segtune.report.evidence.objections.failures import image_caveats, training_caveats
from segtune.report.evidence.objections.fairness import Budget
from segtune.report.evidence.objections.influence import influence_caveats
from segtune.report.evidence.objections.label_noise import label_noise_caveats
from segtune.report.evidence.objections.power import too_few
from segtune.report.evidence.objections.tuning import candidates
from segtune.report.page.text import count, listing, number, setting, some
from segtune.results.measures import select
from segtune.results.study_rows import MACRO, StudyRows
from segtune.results.study_scores import StudyScores
from segtune.study.definition import FOLDS

_LAST = 0.25
"""Share of the training, at its end, over which a rise is reported."""


def caveats(
    study: StudyScores,
    comparisons: Sequence[Comparison],
    given: Budget,
    failures: Sequence[ArmFailures],
) -> tuple[Caveat, ...]:
    """All caveats that apply, the gravest first.

    Those that are about a difference look at the first objective.
    """
    rows = study.rows
    first = comparisons[0] if comparisons else None
    measure = study.measure(rows.first_score.metric, "test") if first is None else first.measure
    found = [
        *_unfair(rows, given),
        *_margin(rows),
        *training_caveats(failures, first, measure),
        *(too_few(first) if first is not None else ()),
        *image_caveats(failures, measure),
        *_edges(study),
        *_tuned_on_folds(rows),
        *(_searched(rows) if rows.kind == FINALISTS else _untuned(rows)),
        *_rising(study),
        *(influence_caveats(study, first) if first is not None else ()),
        *(label_noise_caveats(rows, first) if first is not None else ()),
    ]
    return tuple(found)


def _margin(rows: StudyRows) -> tuple[Caveat, ...]:
    """A margin that was chosen, or changed, when results were there."""
    sentence, seen = changed_margins(rows)
    if not seen:
        return ()
    text = f"{sentence} Who had seen results could choose the margin that suits them."
    return (Caveat("the margin was changed after results were there", text),)


def _unfair(rows: StudyRows, given: Budget) -> tuple[Caveat, ...]:
    """Arms that did not run under the same conditions, or had more than others."""
    found = []
    if different := unlike_conditions(rows):
        what = listing([one.what for one in different])
        text = " ".join(f"{one.text}." for one in different)
        found.append(Caveat(f"arms ran with different {what}", text))
    if given.unequal:
        found.append(
            Caveat("arms did not have the same chances", f"Not equal: {'; '.join(given.unequal)}.")
        )
    return tuple(found)


def _edges(study: StudyScores) -> tuple[Caveat, ...]:
    """Tuned values at an end of the range that was tried."""
    _, tried = candidates(study)
    defined = study.rows.definition.get("tune") or {}
    clauses = []
    for one in (c for c in tried if c.chosen):
        for field, values in (defined.get(one.arm) or {}).items():
            end = _end(one.settings.get(field), values)
            if end:
                tried_values = listing([setting(v) for v in sorted(values)])
                chosen = f"{one.arm}'s {field}={setting(one.settings[field])}"
                clauses.append(f"{chosen} is the {end} of {tried_values}")
    if not clauses:
        return ()
    return (
        Caveat(
            "tuned values at the edge of their range",
            f"{'; '.join(clauses)}. A value beyond was not tried and may be better.",
        ),
    )


def _tuned_on_folds(rows: StudyRows) -> tuple[Caveat, ...]:
    """Settings that were chosen on patients of whom folds are made."""
    if FOLDS not in rows.definition or rows.of("tune").empty:
        return ()
    return (
        Caveat(
            "tuned on patients of the folds",
            "Settings were chosen on the data set's own val, and its patients are among those that "
            "are dealt out to the folds. Scores on val are of patients that the tuning has seen, "
            "and may be too good; those on test are not.",
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
    who = some(rest, "arm") if tuned else "No arm"
    text = "were not tuned while others were" if tuned else "was tuned on val"
    return (
        Caveat(
            "learning rates not tuned" if not tuned else "not every arm was tuned",
            f"{who} {text}: an arm's settings, its learning rate above all, may suit one method "
            "better than another.",
        ),
    )


def _rising(study: StudyScores) -> tuple[Caveat, ...]:
    """Arms whose score on val was best at the very end in most of their trials."""
    rows, objective = study.rows, study.rows.first_score
    arms = {arm: list(trials_by_seed(rows, arm).values()) for arm in rows.arms}
    measure = study.measure(objective.metric, "val") if any(arms.values()) else None
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
    pick, clauses = (np.argmax if objective.maximize else np.argmin), []
    for arm, trials in arms.items():
        own = [curves[t] for t in trials if t in curves and len(curves[t]) > 1]
        at_end = [c for c in own if pick(c) == len(c) - 1]
        if own and 2 * len(at_end) > len(own):
            gains = [c[-1] - c[-1 - math.ceil(_LAST * (len(c) - 1))] for c in at_end]
            gain = number(float(np.mean(gains)), measure.digits, sign=True)
            clauses.append(f"{arm} in {len(at_end)} of {len(own)} ({gain})")
    if not clauses:
        return ()
    return (
        Caveat(
            "curves still rising at the end",
            f"{measure.label} on val was best after the very last epoch: {some(clauses, 'arm')}; "
            "in brackets what the last quarter of the training brought. Longer training may change "
            "the order.",
        ),
    )
