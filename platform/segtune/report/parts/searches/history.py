"""The course of a search: each objective by trial, and the Pareto front.

Trials that are not named share one trace, so that a thousand trials are a thousand points and not a
thousand traces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from segtune.report.evidence.search_results import SearchResults, SearchTrial
from segtune.report.page.label_positions import text_positions
from segtune.report.page.look import FRONT, MUTED, OTHER, Figure, Key, faded, figure, packed, span
from segtune.report.page.page import Part
from segtune.report.parts.searches.best_trials import SELECTION, trial_hover

_ENDS = (
    ("not finished", MUTED, "x"),
    ("stopped early", MUTED, "circle-open"),
    ("beyond a limit", MUTED, "square-open"),
    ("finished", OTHER, "circle"),
)
"""How a trial ended, its colour and its symbol; what is drawn last lies on top."""
_PANEL = (1000.0, 330.0)
"""Width and height of the front's panel for placing names, pixels."""


@dataclass(frozen=True)
class History:
    """One objective of a search, trial by trial."""

    label: str
    maximize: bool
    scored: tuple[tuple[SearchTrial, float], ...]
    """Every trial that has a value, in the order in which they were drawn."""
    best: tuple[tuple[int, float], ...]
    """(Number of a finished trial within the limits, best value up to it)."""


def history(search: SearchResults, objective: int) -> History:
    """One objective by trial.

    Args:
        search: all trials of the search.
        objective: its index.
    """
    maximize = search.objectives[objective].maximize
    scored = [(t, v) for t in search.trials if (v := t.values[objective]) is not None]
    best: list[tuple[int, float]] = []
    for t, v in scored:
        if t.status == "finished" and t.allowed:
            top = v if not best else max(best[-1][1], v) if maximize else min(best[-1][1], v)
            best.append((t.number, top))
    return History(search.axes[objective], maximize, tuple(scored), tuple(best))


def history_figure(found: History) -> Figure:
    """A point per trial, and the best so far as a line."""
    better = "higher" if found.maximize else "lower"
    traces, keys = [], []
    for label, color, symbol in _ENDS:
        group = [(t, v) for t, v in found.scored if _end(t) == label]
        if group:
            keys.append(Key(label, label, color, symbol))
            traces.append(
                {"type": "scatter", "x": [t.number for t, _ in group],
                 "y": packed([v for _, v in group]), "mode": "markers", "name": label,
                 "legendgroup": label,
                 "marker": {"color": faded(color, 0.65), "symbol": symbol, "size": 7},
                 "text": [trial_hover(t) for t, _ in group],
                 "hovertemplate": "%{text}<br>%{y:.4f}<extra></extra>"}
            )  # fmt: skip
    traces.append(
        {"type": "scatter", "x": [number for number, _ in found.best],
         "y": packed([v for _, v in found.best]), "mode": "lines",
         "line": {"color": FRONT, "width": 2.5, "shape": "hv"}, "name": "best so far",
         "legendgroup": "best", "hovertemplate": "best up to t%{x}: %{y:.4f}<extra></extra>"}
    )  # fmt: skip
    return figure(
        traces,
        height=330,
        span="half",
        keys=[*keys, Key("best", "best so far", FRONT, "line")],
        xaxis={"title": {"text": "trial"}, "tickformat": "d"},
        yaxis={"title": {"text": f"{found.label} ({better} is better)"}},
    )


def _end(trial: SearchTrial) -> str:
    """How a trial ended, as in `_ENDS`."""
    if trial.status == "pruned":
        return "stopped early"
    if trial.status != "finished":
        return "not finished"
    return "finished" if trial.allowed else "beyond a limit"


def pareto_figure(search: SearchResults) -> Figure:
    """The first two objectives of every scored trial; the front is joined by a line."""
    scored = [t for t in search.trials if None not in t.values[:2]]
    groups = [
        (end, color, symbol, [t for t in scored if _end(t) == end and not t.on_front])
        for end, color, symbol in _ENDS
    ]
    groups.append(("on the Pareto front", FRONT, "diamond", [t for t in scored if t.on_front]))
    traces, keys = [], []
    for label, color, symbol, trials in groups:
        front = label == groups[-1][0]
        ordered = sorted(trials, key=lambda t: t.values[0] or 0.0)
        if not ordered:
            continue
        texts, positions = _names(ordered, scored) if front else (None, None)
        keys.append(Key(label, f"{label} (n={len(ordered)})", color, symbol))
        traces.append(
            {"type": "scatter", "x": packed([t.values[0] or 0.0 for t in ordered]),
             "y": packed([t.values[1] or 0.0 for t in ordered]), "name": label,
             "legendgroup": label,
             "mode": ("lines+markers" if front else "markers") + ("+text" if front else ""),
             "text": texts, "textposition": positions,
             "line": {"color": faded(color, 0.5), "width": 1},
             "marker": {"color": color if front else faded(color, 0.6), "symbol": symbol,
                        "size": 10 if front else 7},
             "customdata": [trial_hover(t) for t in ordered],
             "hovertemplate": "%{customdata}<br>%{x:.4f}, %{y:.4g}<extra></extra>"}
        )  # fmt: skip
    x, y = search.axes[:2]
    return figure(
        traces,
        height=420,
        keys=keys,
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}},
    )


def _names(
    front: Sequence[SearchTrial], scored: Sequence[SearchTrial]
) -> tuple[list[str], list[str]]:
    """Text and its place for each trial on the front; empty where a name finds no room."""
    limits = [span([t.values[k] or 0.0 for t in scored], 0.05) for k in (0, 1)]
    at = [
        tuple(((t.values[k] or 0.0) - low) / (high - low) for k, (low, high) in enumerate(limits))
        for t in front
    ]
    texts = [f"t{t.number}" for t in front]
    places = text_positions([(x, y) for x, y in at], texts, _PANEL)
    shown = [text if place else "" for text, place in zip(texts, places, strict=True)]
    return shown, [place or "top center" for place in places]


def history_part(search: SearchResults) -> Part:
    """Each objective by trial."""
    if not search.best(1):
        return Part("Search history", missing="No trial has finished with a score yet.")
    return Part(
        "Search history",
        f"{SELECTION} The line: best finished trial so far.",
        figures=tuple(
            (history_figure(history(search, k)), f"{label} by trial")
            for k, label in enumerate(search.labels)
            if any(t.values[k] is not None for t in search.trials)
        ),
    )


def pareto_part(search: SearchResults) -> Part:
    """The first two objectives against each other."""
    title, complete = "Pareto front", search.complete
    if len(search.objectives) < 2:
        return Part(title, missing="The search has one objective.")
    if not complete:
        return Part(title, missing="No trial has finished with all objectives defined yet.")
    directions = [
        f"{label} {'higher' if o.maximize else 'lower'} is better"
        for label, o in zip(search.labels, search.objectives, strict=True)
    ]
    front = sum(t.on_front for t in complete)
    return Part(
        title,
        f"One mark per trial (n={len(complete)} finished with both objectives, {front} on the "
        f"front); {', '.join(directions[:2])}. No trial beats one on the front in both; names on "
        "it stand where there is room. Hovering shows what was drawn; values are macro on val at "
        "the best epoch.",
        figures=((pareto_figure(search), "Scatter plot with the Pareto front"),),
    )
