"""Tables of the finished runs: scores with intervals, and what may be said of differences.

A difference is taken seed by seed, between runs that saw the same data, initial weights and order
of batches. The test is the report's paired t test over seeds; p values are corrected by Holm over
all pairs of a question on a task.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from segtune.report.evidence.stats import ALPHA, holm, paired_t, t_interval

from .arms import ARMS
from .plan import GAP, Cell, Scores, cells, is_diverged, judging_runs, tuned_rate
from .tasks import TASKS

Rows = list[dict[str, object]]
_GAPS = (1, 5, GAP, 100)
_PROJECTORS = ("svd", "srft", "gaussian", "random")


@dataclass(frozen=True)
class Side:
    """One side of a comparison, at a rank that is the comparison's."""

    arm: str
    gap: int | None

    def on(self, task: str, rank: int) -> Cell:
        """The cell of this side."""
        return Cell(task, self.arm, rank if ARMS[self.arm].low_rank else None, self.gap)

    @property
    def text(self) -> str:
        """As a table names it."""
        return self.arm if self.gap is None else f"{self.arm}, gap {self.gap}"


@dataclass(frozen=True)
class Question:
    """Comparisons that are corrected for together."""

    title: str
    pairs: tuple[tuple[Side, Side], ...]


def questions() -> list[Question]:
    """What the tables answer; a pair of which one side did not run is left out."""

    def beside(
        reference: str, arms: Iterable[str], gaps: Iterable[int] = (GAP,)
    ) -> list[tuple[Side, Side]]:
        return [
            (Side(arm, gap), Side(reference, gap if ARMS[reference].low_rank else None))
            for gap in gaps
            for arm in arms
            if arm != reference
        ]

    low_rank = [name for name, arm in ARMS.items() if arm.low_rank and name not in _CHEAPER]
    rotate = [pair for p in _PROJECTORS for pair in beside(f"{p}, keep", [f"{p}, rotate"], _GAPS)]
    intervals = [
        (Side(arm, gap), Side(arm, GAP))
        for arm in ("srft, keep", "svd, keep", "srft, rotate", "svd, rotate", "plus")
        for gap in _GAPS
        if gap != GAP
    ]
    projectors = [
        pair
        for moments in ("keep", "rotate")
        for pair in beside(f"svd, {moments}", [f"{p}, {moments}" for p in _PROJECTORS])
    ]
    fourier = [
        *beside("gaussian, keep", ["srft, keep"]),
        *beside("gaussian, rotate", ["srft, rotate"]),
        *beside("plus, gaussian", ["plus"]),
    ]
    full_rank = [
        *beside("plus, sign residual", ["random, sign residual", "Fira", "apollo-torch"]),
    ]
    cheaper = beside("plus", ["plus, lazy"], (1, 5, GAP))
    made = [
        ("Moments rotated beside kept", rotate),
        (f"Intervals beside one of {GAP}", intervals),
        ("Projectors beside the SVD, moments alike", projectors),
        ("A Fourier sketch beside a Gaussian one", fourier),
        (
            f"The recipe beside plain GaLore at {GAP}",
            [(Side("plus", gap), Side("svd, keep", GAP)) for gap in _GAPS],
        ),
        ("Options and other people's optimizers beside the recipe", beside("plus", _OTHERS)),
        ("Updates of full rank beside each other", full_rank),
        ("Cheaper recipes beside it", [*cheaper, *beside("plus", ["plus, 8-bit moments"])]),
        ("Everything beside AdamW", beside("AdamW", low_rank)),
    ]
    return [Question(title, tuple(pairs)) for title, pairs in made]


_CHEAPER = ("plus, lazy", "plus, 8-bit moments")
"""Asked about by themselves, after the other questions had been answered."""
_OTHERS = tuple(
    name
    for name in ARMS
    if (name.startswith("plus") and name not in _CHEAPER)
    or "residual" in name
    or name in ("random, rotate", "galore-torch", "apollo-torch", "Fira", "AdamW")
)


def score_rows(scores: Scores, tasks: Sequence[str], rank: int, seeds: Sequence[int]) -> Rows:
    """Mean score of each arm with its 95 % t interval, and the rate that was tuned."""
    sides = dict.fromkeys(Side(cell.arm, cell.gap) for cell in cells(tasks, (rank,)))
    rows: Rows = []
    for side in sorted(sides, key=lambda s: (list(ARMS).index(s.arm), s.gap or 0)):
        row: dict[str, object] = {"arm": side.arm, "gap": side.gap}
        for task in tasks:
            cell = side.on(task, rank)
            found = _by_seed(cell, scores, seeds)
            if found:
                row[task] = f"{_estimated(list(found.values()))}, {_rate(cell, scores)}"
        if len(row) > 2:
            rows.append(row)
    return rows


def difference_rows(
    question: Question,
    scores: Scores,
    tasks: Sequence[str],
    ranks: Sequence[int],
    seeds: Sequence[int],
) -> Rows:
    """For each pair and rank the mean difference on each task, its interval and the verdict."""
    rows: dict[tuple[Side, Side, int], dict[str, object]] = {}
    for task in tasks:
        found = {}
        for pair in question.pairs:
            for rank in ranks:
                own, base = (_by_seed(side.on(task, rank), scores, seeds) for side in pair)
                shared = sorted(own.keys() & base.keys())
                if shared:
                    found[*pair, rank] = [own[seed] - base[seed] for seed in shared]
        corrected = holm([_p(differences) for differences in found.values()])
        for (key, differences), p in zip(found.items(), corrected, strict=True):
            one, other, rank = key
            row = rows.setdefault(key, {"": f"{one.text} - {other.text}", "rank": rank})
            row[task] = f"{_estimated(differences)}: {_word(differences, p)}"
    return list(rows.values())


def _by_seed(cell: Cell, scores: Scores, seeds: Sequence[int]) -> Mapping[int, float]:
    runs = judging_runs(cell, scores, seeds)
    return {run.seed: scores[run] for run in runs if run in scores}


def _p(differences: Sequence[float]) -> float | None:
    return None if any(map(is_diverged, differences)) else paired_t(differences)


def _word(differences: Sequence[float], p: float | None) -> str:
    if p is None:
        return "no test"
    if p >= ALPHA:
        return f"cannot tell (p {p:.2f})"
    return f"{'better' if sum(differences) < 0 else 'worse'} (p {p:.1g})"


def _estimated(values: Sequence[float]) -> str:
    diverged = sum(map(is_diverged, values))
    found = t_interval(values)
    if found is None:
        return "diverged"
    half = "" if found.high is None else f" ± {found.high - found.mean:.3g}"
    return f"{found.mean:.4g}{half}" + (f" ({diverged} diverged)" if diverged else "")


def _rate(cell: Cell, scores: Scores) -> str:
    rate, rates = tuned_rate(cell, scores), TASKS[cell.task].rates
    edge = " (edge)" if rate in (rates[0], rates[-1]) else ""
    return f"lr {rate:g}{edge}"
