"""Find every mistake in a study before anything starts."""

import math
import re
from typing import Any

from segtune.study.overrides import SpecError, apply, flatten
from segtune.study.scores import headline, margin_faults, scores
from segtune.study.spec import Ablation, Search, Study
from segtune.study.validate_search import faults_of_search, try_changes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
"""Of a study, or of an arm."""
MOST_TRIALS = 100_000
"""What has more is a slip of the hand, and listing it would take all memory."""


def validate(study: Study) -> None:
    """Find every mistake in a study.

    Raises:
        SpecError: one line per mistake, with the choices and the fix.
    """
    if (trials := _trials(study)) > MOST_TRIALS:
        raise SpecError([f"the study has {trials:,} trials: give at most {MOST_TRIALS:,}"])
    faults = _check_ablation(study) if isinstance(study, Ablation) else faults_of_search(study)
    if faults:
        raise SpecError(faults)


def _trials(study: Study) -> int:
    """How many a study has at most, without making any."""
    if isinstance(study, Search):
        return study.num_samples + study.finalists * len(study.all_finalist_seeds)
    arms = study.all_arms()
    tuning = sum(math.prod(map(len, o.values())) for a in arms if (o := study.tuned_over(a)))
    return len(arms) * len(study.all_seeds) * (study.folds or 1) + tuning


def is_name(text: str) -> bool:
    """Whether a text can name a study or an arm."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> None:
    """A study's name must serve as a folder's.

    Raises:
        SpecError: it does not.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            [f"{name!r} can't name a study: use letters, digits, - and _, or give a --name"]
        )


def _check_ablation(study: Ablation) -> list[str]:
    faults = [
        f"arm {name!r}: use letters, digits, -, + and _ in its name"
        for name in study.all_arms()
        if not _NAME.fullmatch(name)
    ]
    if study.baseline_arm in study.arms:
        faults.append(f"two arms are called {study.baseline_arm}: rename one or the baseline_arm")
    if not study.arms:
        faults.append("there is no arm beside the baseline: add one to compare with")
    faults += _check_seeds(study) + _check_folds(study)
    faults += margin_faults(study.margin, headline(scores(study.baseline)))
    faults += _check_contrasts(study)
    seen = {_identity(study.baseline): study.baseline_arm}
    for arm, changes in study.arms.items():
        config, found = try_changes(study.baseline, changes, f"arm {arm}")
        faults += found
        if found:
            continue
        twin = seen.setdefault(_identity(config), arm)
        hint = " (`factorial(..., baseline=...)` does)" if twin == study.baseline_arm else ""
        if twin != arm:
            faults.append(
                f"arm {arm} is the same as {twin}, with {dict(changes)}: change something that "
                f"matters, or leave one of them out{hint}"
            )
    return faults + _check_tune(study)


def _check_seeds(study: Ablation) -> list[str]:
    faults, seeds = [], study.all_seeds
    if not seeds:
        faults.append("seeds is empty: give at least one")
    if len(set(seeds)) < len(seeds):
        faults.append(f"seeds = {seeds}: each must stand once")
    for seed in (*seeds, study.tune_seed):
        try:
            apply(study.baseline, {"seed": seed})
        except SpecError as error:
            faults += [f"seeds: {fault}" for fault in error.faults]
    if (study.tune or study.tune_each_arm) and study.tune_seed in seeds:
        faults.append(f"tune_seed = {study.tune_seed} is one of the seeds: tune with another")
    return faults


def _check_folds(study: Ablation) -> list[str]:
    if study.folds is None:
        return []
    if study.folds < 2:
        return [f"folds = {study.folds}: give two or more, or leave it out"]
    divided = [arm for arm, changes in study.arms.items() if "fold" in changes]
    faults = [f"arm {arm} changes fold, and the study has folds: leave one out" for arm in divided]
    if getattr(study.baseline, "fold", None) is not None:
        faults.append("the baseline has a fold, and the study has folds: leave one out")
    try:
        apply(study.baseline, {"fold": (0, study.folds)})
    except SpecError as error:
        faults += [f"folds: {fault}" for fault in error.faults]
    return faults


def _check_contrasts(study: Ablation) -> list[str]:
    arms, faults = study.all_arms(), []
    for number, (arm, reference) in enumerate(study.contrasts):
        unknown = [name for name in (arm, reference) if name not in arms]
        pair = f"contrasts: {arm} with {reference}"
        if unknown:
            faults.append(f"{pair}: there is no arm {unknown[0]}, but {', '.join(arms)}")
        elif arm == reference:
            faults.append(f"{pair}: an arm is no contrast to itself")
        elif study.baseline_arm in (arm, reference):
            faults.append(f"{pair}: every arm is compared with the baseline anyway; leave it out")
        elif {arm, reference} in [set(earlier) for earlier in study.contrasts[:number]]:
            faults.append(f"{pair}: the pair stands more than once")
    return faults


def _check_tune(study: Ablation) -> list[str]:
    arms = study.all_arms()
    faults = [f"tune: there is no arm {arm}" for arm in study.tune if arm not in arms]
    if study.tune and study.tune_each_arm:
        faults.append("both tune and tune_each_arm are given: give the candidates once")
    budgets = {arm: len(study.candidates(arm)) for arm in arms}
    if study.tune and len(set(budgets.values())) > 1:
        counts = ", ".join(f"{arm} {n}" for arm, n in budgets.items())
        faults.append(f"tune: every arm needs the same number of candidates, but: {counts}")
    tuned = {f"tune of arm {arm}": over for arm, over in study.tune.items()}
    if study.tune_each_arm:
        tuned["tune_each_arm"] = study.tune_each_arm
    for what, over in tuned.items():
        empty = [field for field, values in over.items() if not values]
        faults += [f"{what}: {field} has no values: give two or more" for field in empty]
        if not over:
            faults.append(f"{what} has no fields: give one and its values, or leave the arm out")
    for arm, changes in arms.items():
        candidates = study.candidates(arm)
        if any(candidates.count(c) > 1 for c in candidates):
            faults.append(f"tune of arm {arm}: a candidate stands more than once")
        for candidate in candidates:
            both = {**changes, **candidate}
            faults += try_changes(study.baseline, both, f"tune of arm {arm}")[1]
    return list(dict.fromkeys(faults))


def _identity(config: Any) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, repr(v)) for k, v in flatten(config, locations=False).items()))
