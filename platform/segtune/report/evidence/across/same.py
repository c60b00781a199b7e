"""Whether studies have the same arms on several data sets, and their differences by data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segtune.report.evidence.across.pooled import Pooled, pool
from segtune.report.evidence.across.ranks import Ranks, average_ranks
from segtune.report.evidence.differences.compare import Difference, compare
from segtune.report.evidence.differences.verdicts import Judged, judge
from segtune.report.evidence.summary import score_summary
from segtune.report.page.text import listing
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, StudyRows
from segtune.results.study_scores import StudyScores


class UnlikeError(ValueError):
    """Studies that have not the same arms; the message has a line for each fault."""


@dataclass(frozen=True)
class ArmAcross:
    """An arm against the baseline, on every data set and over them."""

    arm: str
    by_set: Mapping[str, Difference]
    """Study -> the difference there; without those that have none."""
    pooled: Pooled | None
    """Over the data sets that have a test; None for fewer than two."""
    judged: Judged

    @property
    def counts(self) -> tuple[int, int, int]:
        """On how many data sets it is better, worse, and neither."""
        words = [d.verdict.word for d in self.by_set.values()]
        better, worse = words.count("better"), words.count("worse")
        return better, worse, len(words) - better - worse


@dataclass(frozen=True)
class Across:
    """The same arms on several data sets, in the first objective."""

    measure: Measure
    baseline: str
    studies: tuple[str, ...]
    arms: tuple[ArmAcross, ...]
    ranks: Ranks | None
    margin: float | None
    """That all studies say; None where they differ or say none."""


def across(studies: Sequence[StudyScores]) -> Across:
    """Put the differences of several data sets together.

    Args:
        studies: at least two, each on a data set of its own, with the same arms.

    Raises:
        UnlikeError: they have not the same baseline, arms or measure; every fault.
    """
    faults = _faults([study.rows for study in studies])
    compared = [compare(study)[:1] for study in studies]
    faults += [
        f"{study.rows.name}: nothing was compared on test yet"
        for study, found in zip(studies, compared, strict=True)
        if not found
    ]
    if not faults:
        measures = [c.measure for (c,) in compared]
        protocols = {(m.metric, m.protocol) for m in measures}
        if len(protocols) > 1:
            shown = listing([f"{metric} ({protocol})" for metric, protocol in sorted(protocols)])
            faults.append(f"they are scored differently: {shown}")
    if faults:
        names = listing([study.rows.name for study in studies])
        lines = [f"{names} have not the same arms on several data sets:"]
        raise UnlikeError("\n".join([*lines, *(f"  {fault}" for fault in faults)]))
    first = compared[0][0]
    margins = {c.margin for (c,) in compared}
    margin = margins.pop() if len(margins) == 1 else None
    found = {
        arm: {
            study.rows.name: d
            for study, (c,) in zip(studies, compared, strict=True)
            for d in c.differences
            if d.arm == arm
        }
        for arm in dict.fromkeys(d.arm for (c,) in compared for d in c.differences)
    }
    pooled = [_pool(by_set) for by_set in found.values()]
    judged = judge(pooled, margin, first.measure.higher_is_better)
    arms = tuple(
        ArmAcross(arm, by_set, p, j)
        for (arm, by_set), p, j in zip(found.items(), pooled, judged, strict=True)
    )
    scores = [_scores(study, c.measure) for study, (c,) in zip(studies, compared, strict=True)]
    return Across(
        first.measure,
        first.baseline,
        tuple(study.rows.name for study in studies),
        arms,
        average_ranks(scores, first.measure.higher_is_better),
        margin,
    )


def _pool(by_set: Mapping[str, Difference]) -> Pooled | None:
    tested = [d.crossed for d in by_set.values() if d.crossed is not None]
    tested = [c for c in tested if c.errors[0] > 0]
    return pool([c.mean for c in tested], [c.errors[0] for c in tested])


def _scores(study: StudyScores, measure: Measure) -> dict[str, float]:
    key = f"{measure.metric}_{MACRO}"
    arms = score_summary(study).arms
    return {a.arm: a.values[key].mean for a in arms if key in a.values}


def _faults(studies: Sequence[StudyRows]) -> list[str]:
    """One line for each thing in which the studies' arms are not the same."""
    faults = []
    hashes: dict[str, list[str]] = {}
    for rows in studies:
        for data in set(rows.trials["data_hash"].dropna()):
            hashes.setdefault(str(data), []).append(rows.name)
    faults += [f"{listing(names)} are on the same data" for names in hashes.values() if names[1:]]
    first = studies[0]
    for rows in studies[1:]:
        if rows.weights != first.weights:
            faults.append(f"alike in test scores are {first.weights} in {first.name}, "
                          f"{rows.weights} in {rows.name}")  # fmt: skip
        if rows.baseline != first.baseline:
            faults.append(f"the baseline of {first.name} is {first.baseline}, of {rows.name} "
                          f"{rows.baseline}")  # fmt: skip
        own, others = _changes(first), _changes(rows)
        for arm in sorted(own.keys() ^ others.keys()):
            faults.append(f"arm {arm} is in {first.name if arm in own else rows.name} alone")
        faults += [
            f"arm {arm} changes {own[arm]} in {first.name}, {others[arm]} in {rows.name}"
            for arm in own
            if arm in others and own[arm] != others[arm]
        ]
    return faults


def _changes(rows: StudyRows) -> Mapping[str, Any]:
    found: Mapping[str, Any] = rows.definition.get("arms") or {}
    return found
