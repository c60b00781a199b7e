"""How much each searched setting matters for each objective."""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial

from segtune.report.search import SearchRows

ABOVE_TARGET = 5
"""Trials above the target quantile that the method wants, by its documentation."""
TARGET_QUANTILE = 0.25
MIN_TRIALS = int(ABOVE_TARGET / TARGET_QUANTILE)
PED_ANOVA, FANOVA = "PED-ANOVA", "fANOVA"
FOREST = {"n_trees": 32, "max_depth": 8, "seed": 0}
"""Of fANOVA: on a thousand trials within 0.002 of the shares of 64 trees of any depth, which take
twelve times as long."""


@dataclass(frozen=True)
class Importance:
    """Shares of one objective; they sum to 1."""

    metric: str
    method: str
    n: int
    """Trials that they are computed from."""
    shares: tuple[tuple[str, float], ...]
    """(Dotted field, share), largest first."""


def importances(search: SearchRows) -> tuple[tuple[Importance, ...], str]:
    """PED-ANOVA and fANOVA importances per objective.

    They ask different things: PED-ANOVA, what separates the best quarter of the trials from all;
    fANOVA, what the objective varies with over the whole space, bad regions too.

    Returns:
        The importances, and why there are none (empty where there are).
        Sources: Watanabe et al., PED-ANOVA, IJCAI 2023 (arXiv 2304.10255); Hutter et al., An
        Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.

    Raises:
        ValueError: scikit-learn, which fANOVA needs, is not installed.
    """
    complete = [t for t in search.complete if t.params]
    if len(complete) < MIN_TRIALS:
        return (), (
            f"{len(complete)} finished trials with both objectives are too few to tell which "
            f"setting matters: at least {MIN_TRIALS} are needed."
        )
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError(
            "how much each setting of a search matters is computed with scikit-learn, which is not "
            "installed: pip install 'segtune[importance]'"
        )
    study = _rebuild(search)
    found = []
    for i, objective in enumerate(search.objectives):
        if len({t.values[i] for t in complete}) > 1:
            n, target = len(complete), _target(i, objective.maximize)
            for method, evaluator in _evaluators():
                shares = _shares(study, evaluator, target)
                found.append(Importance(objective.metric, method, n, shares))
    return tuple(found), "" if found else "All trials scored the same: nothing to attribute."


def _evaluators() -> tuple[tuple[str, BaseImportanceEvaluator], ...]:
    return (
        (PED_ANOVA, PedAnovaImportanceEvaluator(target_quantile=TARGET_QUANTILE)),
        (FANOVA, FanovaImportanceEvaluator(**FOREST)),
    )


def _rebuild(search: SearchRows) -> optuna.Study:
    """The finished trials as an optuna study in memory."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            directions=["maximize" if o.maximize else "minimize" for o in search.objectives]
        )
    finally:
        optuna.logging.set_verbosity(verbosity)
    for trial in search.complete:
        if trial.params:
            study.add_trial(
                optuna.create_trial(
                    params=dict(trial.params),
                    distributions={f: d for f, d in search.space.items() if f in trial.params},
                    values=[v for v in trial.values if v is not None],
                )
            )
    return study


def _target(i: int, maximize: bool) -> Callable[[FrozenTrial], float]:
    """PED-ANOVA asks what reaches low values; to fANOVA the sign is all one."""
    return lambda trial: -trial.values[i] if maximize else trial.values[i]


def _shares(
    study: optuna.Study,
    evaluator: BaseImportanceEvaluator,
    target: Callable[[FrozenTrial], float],
) -> tuple[tuple[str, float], ...]:
    with warnings.catch_warnings():
        # PED-ANOVA reminds of the direction whenever a target is given; `_target` minds it.
        warnings.filterwarnings("ignore", message=".*achieve low `target` values.*")
        shares = get_param_importances(study, evaluator=evaluator, target=target)
    return tuple((field, float(share)) for field, share in shares.items())
