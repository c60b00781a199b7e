"""How much each searched setting matters for each objective."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial

from segtune.extras import install
from segtune.report.evidence.search_results import SearchResults
from segtune.report.page.look import COLORS, Figure, Key, figure, plain
from segtune.report.page.page import Part

ABOVE_TARGET = 5
"""Trials above the target quantile that the documentation of the method asks for."""
TARGET_QUANTILE = 0.25
MIN_TRIALS = int(ABOVE_TARGET / TARGET_QUANTILE)
PED_ANOVA, FANOVA = "PED-ANOVA", "fANOVA"
FOREST = {"n_trees": 32, "max_depth": 8, "seed": 0}
"""The forest of fANOVA. On a thousand trials its shares are within 0.002 of those of 64 trees of
any depth, which take twelve times as long."""


@dataclass(frozen=True)
class Importance:
    """How much each setting matters for one objective, by one method; shares sum to 1."""

    metric: str
    method: str
    n: int
    """Trials that they are computed from."""
    shares: tuple[tuple[str, float], ...]
    """(Dotted field, share), largest first."""


def importances(search: SearchResults) -> tuple[tuple[Importance, ...], str]:
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
            f"installed: {install('importance')}"
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


def _rebuild(search: SearchResults) -> optuna.Study:
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
    """Values to be made small, as PED-ANOVA asks; for fANOVA the sign makes no difference."""
    return lambda trial: -trial.values[i] if maximize else trial.values[i]


def _shares(
    study: optuna.Study,
    evaluator: BaseImportanceEvaluator,
    target: Callable[[FrozenTrial], float],
) -> tuple[tuple[str, float], ...]:
    with warnings.catch_warnings():
        # PED-ANOVA warns about the direction whenever a target is given; `_target` has it right.
        warnings.filterwarnings("ignore", message=".*achieve low `target` values.*")
        shares = get_param_importances(study, evaluator=evaluator, target=target)
    return tuple((field, float(share)) for field, share in shares.items())


def importance_figure(importances: Sequence[Importance], label: str) -> Figure:
    """Share of each setting in one objective, a bar per way to compute it."""
    order = [field for field, _ in importances[0].shares]
    colors = dict(zip((i.method for i in importances), (COLORS[0], COLORS[1]), strict=False))
    traces = []
    for importance in importances:
        share = dict(importance.shares)
        traces.append(
            {"type": "bar", "x": [share.get(f, 0.0) for f in order],
             "y": [plain(f, 40) for f in order], "orientation": "h", "name": importance.method,
             "legendgroup": importance.method, "marker": {"color": colors[importance.method]},
             "hovertemplate": f"%{{y}}: %{{x:.2f}}<br>{importance.method}, n={importance.n} trials"
                              "<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=96 + 40 * len(order),
        span="half",
        keys=[Key(method, method, color) for method, color in colors.items()],
        barmode="group",
        xaxis={"title": {"text": f"share of importance for {label}"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "ticklen": 0, "ticksuffix": " ", "showgrid": False},
    )


def importance_part(search: SearchResults) -> Part:
    """Bars of importance for each objective."""
    title = "Which setting matters"
    found, why = importances(search)
    if not found:
        return Part(title, missing=why)
    labels = {o.metric: x for o, x in zip(search.objectives, search.labels, strict=True)}
    return Part(
        title,
        f"Share of each setting, per objective, from n={found[0].n} finished trials. PED-ANOVA: "
        "what separates the best quarter of the trials from all. fANOVA: what the score varies "
        "with over the whole space, bad regions too.",
        figures=tuple(
            (
                importance_figure(
                    [i for i in found if i.metric == metric], labels.get(metric, metric)
                ),
                f"Bars of importance by setting for {metric}",
            )
            for metric in dict.fromkeys(i.metric for i in found)
        ),
    )
