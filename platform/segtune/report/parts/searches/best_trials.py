"""The best trials of a search on val: their table, and how named trials are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

from segtune.report.evidence.costs.measured import QUANTITIES, Cost
from segtune.report.evidence.search_results import SearchResults, SearchTrial
from segtune.report.evidence.summary import Column, columns
from segtune.report.page.look import Look, looks, plain
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, mean
from segtune.report.page.text import DASH, count, number, setting
from segtune.results.study_rows import StudyRows
from segtune.results.study_scores import StudyScores

MOST_LISTED = 10
MOST_COLORED = 5
SELECTION = (
    "Values are on val, at each trial's best epoch, and the best of many draws: they flatter, and "
    "only a repetition with new seeds on test tells."
)


@dataclass(frozen=True)
class BestTrials:
    """The best trials of a search, with their scores on val and their costs."""

    trials: tuple[SearchTrial, ...]
    columns: tuple[Column, ...]
    scores: Mapping[tuple[str, str], float]
    """(Trial, key of a column) -> value at the best epoch; without undefined values."""
    costs: Mapping[str, Cost]
    """Trial -> its costs."""


def best_trials(study: StudyScores, search: SearchResults, costs: Mapping[str, Cost]) -> BestTrials:
    """The trials to list, by the first objective."""
    trials, shown = search.best(MOST_LISTED), columns(study, "val")
    scores = {}
    for column in shown:
        found = study.values(column.measure, "val")
        for t in trials:
            if (value := found.get((t.trial_id, column.class_name))) is not None and value == value:
                scores[t.trial_id, column.key] = value
    return BestTrials(trials, shown, scores, costs)


def best_trials_sheet(best: BestTrials) -> Sheet:
    """Scores on val at the best epoch, and what the trials cost."""
    shown = [q for q in QUANTITIES if q.key != "gradients"]
    digits = [*(c.measure.digits for c in best.columns), *(q.digits for q in shown)]
    rows, raw = [], []
    for t in best.trials:
        found = [best.scores.get((t.trial_id, c.key)) for c in best.columns]
        measured = best.costs[t.trial_id].values if t.trial_id in best.costs else {}
        numbers = [*found, *(mean(measured.get(q.key)) for q in shown)]
        name = f"t{t.number}" + (" (Pareto)" if t.on_front else "")
        rows.append(
            (
                Cell(name, small=t.text, left=True),
                Cell(DASH if t.best_epoch is None else str(t.best_epoch)),
                *(Cell(number(v, d)) for v, d in zip(numbers, digits, strict=True)),
            )
        )
        raw.append((t.trial_id, t.number, t.seed, t.text, t.best_epoch, *numbers))
    return Sheet(
        "summary",
        ("trial", "best epoch", *(c.label for c in best.columns), *(q.label for q in shown)),
        tuple(rows),
        frozenset(i for i, t in enumerate(best.trials) if t.on_front),
        ("trial", "number", "seed", "changes", "best_epoch", *(c.key for c in best.columns),
         *(q.key for q in shown)),
        tuple(raw),
    )  # fmt: skip


def best_trials_part(study: StudyScores, search: SearchResults, costs: Mapping[str, Cost]) -> Part:
    """The best trials, in a table.

    Args:
        study: its scores.
        search: all trials of the search.
        costs: of the finished trials.
    """
    title, best = "Best trials on val", best_trials(study, search, costs)
    if not best.trials:
        return Part(title, missing="No search trial has finished with a score yet.")
    return Part(
        title,
        f"The {len(best.trials)} best of {count(len(search.trials), 'trial')}, one seed each (n=1: "
        f"no interval). {SELECTION} Set apart: on the Pareto front.{_limits(search)}",
        sheet=best_trials_sheet(best),
    )


def _limits(search: SearchResults) -> str:
    """The limits of the search, and how many trials went beyond them."""
    if not search.constraints:
        return ""
    beyond = sum(t.status == "finished" and not t.allowed for t in search.trials)
    return (
        f" Within the limits of the search ({'; '.join(search.constraints)}); "
        f"{count(beyond, 'finished trial')} went beyond and {'is' if beyond == 1 else 'are'} "
        "among no best."
    )


def trial_looks(search: SearchResults, tested: StudyRows | None) -> dict[str, Look]:
    """How the named trials are drawn: the finalists, as in their own figures, and the best.

    Args:
        search: all trials of the search.
        tested: the finalists; None where there are none.

    Returns:
        `t5` -> its look.
    """
    best = [f"t{t.number}" for t in search.best(MOST_COLORED)]
    if tested is None:
        return looks(best, None)
    return looks(list(dict.fromkeys([*tested.arms, *best])), tested.baseline)


def trial_hover(trial: SearchTrial) -> str:
    """What a reader sees when pointing at a trial."""
    drawn = (f"{plain(f)}={plain(setting(v))}" for f, v in trial.params.items())
    return "<br>".join([f"t{trial.number} ({plain(trial.status)}), n=1", *drawn])
