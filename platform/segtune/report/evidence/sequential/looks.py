"""Which arms go on after a look: those whose verdict is open and may still be reached.

An arm stops at its verdict in the primary endpoint, but for one that is no worse and likely to be
shown better. It also stops where a verdict is hardly to be reached with all the seeds that it may
have, or with any number of them (too few test patients, other data, no scores): stopping for that
makes no verdict wrong. What was decided at a look depends on the trials of that look alone, so it
can be told again from the tables at any time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from segtune.report.evidence.costs.measured import measure_costs
from segtune.report.evidence.differences.compare import Comparison, Difference, compare, contrasts
from segtune.report.evidence.differences.verdicts import IDENTICAL, Word
from segtune.report.evidence.finalists import finalists
from segtune.report.evidence.power.chance import Question, chance
from segtune.report.evidence.power.spread import MeasuredSpread
from segtune.report.evidence.search_results import search_results
from segtune.report.evidence.sequential.bounds import price
from segtune.report.evidence.stats import MIN_SEEDS
from segtune.report.page.text import percent
from segtune.results.storage import Storage
from segtune.results.study_rows import StudyRows, load
from segtune.results.study_scores import derive

FUTILE = 0.1
"""An arm stops whose verdict is reached with less than this chance by its last look."""
LIKELY = 0.5
"""An arm that is no worse goes on where it is shown to be better with this chance or more."""

_UNTESTABLE = "no number of seeds can tell it"


@dataclass(frozen=True)
class Look:
    """What was decided after so many seeds."""

    seeds: int
    stopped: Mapping[str, str]
    """Arm -> why it stopped at this look."""
    goes_on: frozenset[str]
    """Arms that get further seeds, and what these are compared with."""


def undecided(storage: Storage, study: str, seeds: int) -> frozenset[str]:
    """The arms that get further seeds after a look, and what they are compared with.

    Args:
        storage: the folder that holds the studies.
        study: its name; the trials of the look are finished.
        seeds: that the look comes after.
    """
    return look_at(_arms(load(storage, study)), seeds).goes_on


def _arms(rows: StudyRows) -> StudyRows:
    """A study's arms; of a search its finalists."""
    if rows.kind != "search":
        return rows
    study = derive(rows)
    tested = finalists(study, search_results(study, measure_costs(rows)))
    return rows if tested is None else tested.rows


def look_at(rows: StudyRows, seeds: int) -> Look:
    """Decide after so many seeds."""
    then = _of_first(rows, seeds)
    study = derive(then)
    primary = compare(study)[:1]
    pairs = contrasts(study)
    primary += tuple(c for c in pairs if c.measure == pairs[0].measure)
    stopped: dict[str, list[str]] = {}
    goes_on: set[str] = set()
    for comparison in primary:
        for d in comparison.differences:
            if _seeds(then, d.arm) < seeds:
                continue  # it stopped at an earlier look
            why = _why_it_stops(d, comparison, rows.looks)
            if why:
                stopped.setdefault(d.arm, []).append(f"{why} {_than(d)}{comparison.baseline}")
            else:
                goes_on |= {d.arm, comparison.baseline}
        for arm in comparison.missing:
            if _seeds(then, arm) >= seeds:
                why = f"no scores to compare with {comparison.baseline}"
                stopped.setdefault(arm, []).append(why)
    over = {arm: "; ".join(whys) for arm, whys in stopped.items() if arm not in goes_on}
    return Look(seeds, over, frozenset(goes_on))


def looks_so_far(rows: StudyRows) -> tuple[Look, ...]:
    """The looks whose trials are there; empty for a study that has all its seeds from the start."""
    found: list[Look] = []
    going = set(rows.arms)
    for seeds in rows.looks:
        then = _of_first(rows, seeds)
        if any(_seeds(then, arm) < seeds for arm in going):
            break
        found.append(look_at(rows, seeds))
        going = set(found[-1].goes_on)
        if not going:
            break
    return tuple(found)


def _of_first(rows: StudyRows, seeds: int) -> StudyRows:
    """A study as it was after its first seeds; of each arm their trials alone."""
    first = list(rows.definition.get("seeds") or ())[:seeds]
    arms = (rows.trials["role"] == "arm") & rows.trials["seed"].isin(first)
    return replace(rows, trials=rows.trials[arms])


def _seeds(rows: StudyRows, arm: str) -> int:
    return int(rows.of("arm", arm=arm, status="finished")["seed"].nunique())


def _why_it_stops(d: Difference, comparison: Comparison, looks: tuple[int, ...]) -> str:
    """The verdict, or why none can be hoped for; empty where the arm goes on."""
    word = d.verdict.word
    if d.verdict.why == IDENTICAL:
        return "the same scores as"
    if len(d.seeds) >= looks[-1]:
        return "all its seeds, and not told from" if word == "cannot tell" else word
    if d.spread is None or d.crossed is None:
        # Of a seed without a score there may be more; patients and data stay what they are.
        return "" if len(d.seeds) < MIN_SEEDS else f"{_UNTESTABLE}, {d.verdict.why}, from"
    tested = sum(one.crossed is not None for one in comparison.differences)
    gain = d.crossed.mean if comparison.measure.higher_is_better else -d.crossed.mean
    ahead = chances(gain, d.spread, comparison.margin, looks, tested)
    if not ahead.stops(word):
        return ""
    if word != "cannot tell":
        return word
    return f"a chance of {percent(ahead.told)} with {looks[-1]} seeds to be told from"


@dataclass(frozen=True)
class Chances:
    """What may be hoped for at the last look, if the difference is what it seems to be."""

    different: float
    """To be shown better or worse, as it seems."""
    told: float
    """Of any verdict."""

    def stops(self, word: Word) -> bool:
        """Whether an arm with this verdict gets no more seeds."""
        if word == "cannot tell":
            return self.told < FUTILE
        return word != "no worse" or self.different < LIKELY


def chances(
    gain: float, known: MeasuredSpread, margin: float | None, looks: tuple[int, ...], tested: int
) -> Chances:
    """The chances of verdicts at the last look.

    Args:
        gain: how much better the arm seems to be; below 0 where it seems worse.
        known: how much seeds and patients moved the difference so far.
        margin: the largest difference that does not matter; None for none.
        looks: seeds at each look.
        tested: arms that are compared at once.
    """
    arms = math.ceil(tested * price(looks, looks[-1], tested))

    def chance_of(question: Question) -> float:
        return chance(question, known.spread, looks[-1], known.test_patients, arms)

    different = chance_of(Question("better", abs(gain)))
    if margin is None:
        return Chances(different, different)
    return Chances(different, max(different, chance_of(Question("no worse", gain, margin))))


def _than(d: Difference) -> str:
    words = {"better": "than ", "worse": "than ", "no worse": "than ", "as good": "as "}
    return words.get(d.verdict.word, "")
