"""The parts of a search's section."""

from segtune.report import figures_search as draw
from segtune.report.cost import Cost, trial_costs
from segtune.report.curves import val_curves
from segtune.report.figures_parallel import parallel_figure
from segtune.report.finalists import finalists
from segtune.report.importance import importances
from segtune.report.panels import heat_part, tradeoffs
from segtune.report.pictures import grid
from segtune.report.search import SearchRows, SearchTrial, read_search
from segtune.report.section import Part
from segtune.report.sheets_search import search_sheet
from segtune.report.stats import Estimate
from segtune.report.style import Look, looks
from segtune.report.summary import columns
from segtune.report.text import count
from segtune.report.tradeoff import tradeoff
from segtune.results.measures import values
from segtune.results.study_rows import StudyRows

MOST_LISTED = 10
MOST_PICTURED = 4
MOST_COLORED = 5
_SELECTION = (
    "Values are on val, at each trial's best epoch, and the best of many draws: they flatter, and "
    "only a repetition with new seeds on test tells."
)


def search_parts(rows: StudyRows) -> tuple[Part, ...]:
    """Best trials, Pareto front, settings, importances, costs and curves."""
    search = read_search(rows)
    if not search.trials:
        return (Part("Search", missing="No search trial was recorded yet."),)
    best = search.best(MOST_LISTED)
    costs = dict(trial_costs(rows))
    return (
        _best(rows, search, best, costs),
        _history(search),
        _pareto(search),
        _parallel(search),
        _slices(search),
        *(p for p in (heat_part(rows, "search"),) if p is not None),
        _importance(search),
        _tradeoff(rows, search, costs),
        _curves(rows, search),
        _pictures(rows, search),
    )


def trial_looks(rows: StudyRows, search: SearchRows) -> dict[str, Look]:
    """Of the trials that are named: the finalists, as their own figures draw them, and the best."""
    tested = finalists(rows)
    best = [f"t{t.number}" for t in search.best(MOST_COLORED)]
    if tested is None:
        return looks(best, None)
    return looks(list(dict.fromkeys([*tested.arms, *best])), tested.baseline)


def _best(
    rows: StudyRows, search: SearchRows, best: tuple[SearchTrial, ...], costs: dict[str, Cost]
) -> Part:
    title = "Best trials on val"
    if not best:
        return Part(title, missing="No search trial has finished with a score yet.")
    shown = columns(rows, "val")
    scores = {}
    for column in shown:
        found = values(rows, column.measure, "val")
        for t in best:
            if (value := found.get((t.trial_id, column.class_name))) is not None and value == value:
                scores[t.trial_id, column.key] = value
    return Part(
        title,
        f"The {len(best)} best of {count(len(search.trials), 'trial')}, one seed each (n=1: no "
        f"interval). {_SELECTION} Set apart: on the Pareto front.{_limits(search)}",
        sheet=search_sheet(best, search, shown, scores, costs),
    )


def _limits(search: SearchRows) -> str:
    """What the best had to keep to, and how many did not."""
    if not search.constraints:
        return ""
    beyond = sum(t.status == "finished" and not t.allowed for t in search.trials)
    return (
        f" Within the limits of the search ({'; '.join(search.constraints)}); "
        f"{count(beyond, 'finished trial')} went beyond and {'is' if beyond == 1 else 'are'} "
        "among no best."
    )


def _pareto(search: SearchRows) -> Part:
    title, complete = "Pareto front", search.complete
    if len(search.objectives) < 2:
        return Part(title, missing="The search has one objective.")
    if not complete:
        return Part(title, missing="No trial has finished with all objectives defined yet.")
    labels = search.labels
    ways = [
        f"{label} {'higher' if o.maximize else 'lower'} is better"
        for label, o in zip(labels, search.objectives, strict=True)
    ]
    front = sum(t.on_front for t in complete)
    return Part(
        title,
        f"One mark per trial (n={len(complete)} finished with both objectives, {front} on the "
        f"front); {', '.join(ways[:2])}. No trial beats one on the front in both. Hovering shows "
        "what was drawn; values are macro on val at the best epoch.",
        figures=((draw.pareto_figure(search), "Scatter plot with the Pareto front"),),
    )


def _history(search: SearchRows) -> Part:
    if not search.best(1):
        return Part("Search history", missing="No trial has finished with a score yet.")
    return Part(
        "Search history",
        f"{_SELECTION} The line: best finished trial so far.",
        figures=tuple(
            (draw.history_figure(search, k), f"{label} by trial")
            for k, label in enumerate(search.labels)
            if any(t.values[k] is not None for t in search.trials)
        ),
    )


def _parallel(search: SearchRows) -> Part:
    title = "All settings at once"
    if not search.space or not search.best(1):
        return Part(title, missing="Needs a search space in study.json and a finished trial.")
    return Part(
        title,
        f"One line per finished trial, through its settings to its {search.axes[0]} at the right; "
        "lines of the best quarter lie on top.",
        figures=(
            (parallel_figure(search, search.labels[0]), "Parallel coordinates of all settings"),
        ),
    )


def _slices(search: SearchRows) -> Part:
    title, n = "Settings", len([t for t in search.trials if t.status == "finished"])
    if not search.space or not search.best(1):
        return Part(title, missing="Needs a search space in study.json and a finished trial.")
    return Part(
        title,
        f"{search.axes[0]} against each searched setting; one mark per finished trial "
        f"(n={n}), darker is later. The other settings differ between marks too.",
        figures=tuple(
            (draw.slice_figure(search, field), f"Score by {field}") for field in search.space
        ),
    )


def _importance(search: SearchRows) -> Part:
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
                draw.importance_figure(
                    [i for i in found if i.metric == metric], labels.get(metric, metric)
                ),
                f"Bars of importance by setting for {metric}",
            )
            for metric in dict.fromkeys(i.metric for i in found)
        ),
    )


def _tradeoff(rows: StudyRows, search: SearchRows, costs: dict[str, Cost]) -> Part:
    title = "Score against cost"
    names = {t.trial_id: f"t{t.number}" for t in search.trials}
    scored = [t for t in search.trials if t.status == "finished" and t.values[0] is not None]
    scores = {names[t.trial_id]: Estimate(t.values[0] or 0.0, None, None, 1) for t in scored}
    notes = {names[t.trial_id]: t.text for t in scored}
    renamed = [Cost(names[k], False, c.n, c.values, c.parts) for k, c in costs.items()]
    up = search.objectives[0].maximize
    panels = tradeoff(scores, renamed, notes, higher_is_better=up)
    if not panels:
        return Part(title, missing="Needs finished trials with recorded steps.")
    colored = trial_looks(rows, search)
    best = [name for name in colored if name in scores]
    repeated = " and the finalists" if finalists(rows) is not None else ""
    drawn = tradeoffs(
        panels,
        colored,
        best,
        search.axes[0] + (", macro" if search.measures[0] is not None else ""),
        fraction=(measure := search.measures[0]) is not None and measure.is_fraction,
    )
    return Part(
        title,
        f"One mark per finished trial (n={len(scored)}); the {len(best)} best{repeated} are named "
        f"and coloured. {'Up' if up else 'Down'} and to the left is better.",
        figures=drawn,
    )


def _curves(rows: StudyRows, search: SearchRows) -> Part:
    measure, curves = val_curves(rows, "search")
    if measure is None or not curves.lines:
        return Part("Training", missing="No score on val yet.")
    ids = {f"t{t.number}": t.trial_id for t in search.trials}
    repeated = " and the finalists" if finalists(rows) is not None else ""
    best = {ids[name]: one for name, one in trial_looks(rows, search).items() if name in ids}
    return Part(
        "Training",
        f"{measure.label} on val by epoch, one line per trial (n={len(curves.lines)}, stopped ones "
        f"too); {len(best)} in colour: the best finished{repeated}.",
        figures=((draw.search_curves(curves, best, measure), "Score on val by epoch"),),
    )


def _pictures(rows: StudyRows, search: SearchRows) -> Part:
    pictures = grid(rows, [(f"t{t.number}", t.trial_id) for t in search.best(MOST_PICTURED)])
    if pictures is None:
        return Part("Predictions", missing="No picture of the best trials was kept.")
    return Part(
        "Predictions",
        f"{pictures.chosen} The {MOST_PICTURED} best trials at most. "
        "Above: prediction in colour, outline of the truth in white; below: errors.",
        grid=pictures,
    )
