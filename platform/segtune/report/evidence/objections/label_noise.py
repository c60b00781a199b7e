"""The noise of labels as an objection: differences that are smaller than what annotators disagree
by.

Both arms are held against the same masks, so what annotators disagree by is no error of their
difference: most of it is in both. It says how much a score can mean at all.
"""

from dataclasses import dataclass

from segtune.report.evidence.differences.compare import Comparison
from segtune.report.evidence.differences.verdicts import DIFFERENT
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.page.text import listing, number, some
from segtune.results.label_noise import NoiseLevel
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, StudyRows


@dataclass(frozen=True)
class Floor:
    """By how much a second annotator is off in a measure."""

    level: NoiseLevel
    value: float

    @property
    def who(self) -> str:
        """`two annotators whose outlines are 2 px apart`."""
        return self.level.who()


def floors(rows: StudyRows, measure: Measure, split: str = "test") -> tuple[Floor, ...]:
    """What annotators disagree by in a measure, the smallest first; empty where that was not asked
    for these data, or not in this measure."""
    noise = rows.label_noise
    if noise is None or noise.split != split or not rows.may_be_of(noise.content_hash):
        return ()
    found = [
        Floor(level, score.floor)
        for level in noise.levels
        for score in level.scores
        if (score.metric, score.protocol, score.resolution, score.class_name)
        == (measure.metric, measure.protocol, measure.resolution, MACRO)
        and score.floor is not None
    ]
    return tuple(sorted(found, key=lambda floor: floor.value))


def floors_text(found: tuple[Floor, ...], measure: Measure) -> str:
    """A sentence about what annotators disagree by; empty where nothing is known."""
    if not found:
        return ""
    alike: dict[tuple[str, bool], list[Floor]] = {}
    for floor in found:
        alike.setdefault((floor.level.kind, floor.level.percent), []).append(floor)
    shown = []
    for group in alike.values():
        who = group[0].level.who(listing([floor.level.apart for floor in group]))
        values = [number(floor.value, measure.digits) for floor in group]
        shown.append(f"{who} disagree by {listing(values)}")
    return (
        f"Noise of labels, {measure.label} at the size compared here: {'; '.join(shown)}. Arms are "
        "held against the same masks, so that is no error of their difference; but a smaller one "
        "is a finer distinction than annotators make."
    )


def label_noise_caveats(rows: StudyRows, first: Comparison) -> tuple[Caveat, ...]:
    """Verdicts on differences that are smaller than what annotators disagree by."""
    found, measure = floors(rows, first.measure, first.split), first.measure
    clauses = []
    for d in first.differences:
        size = abs(d.shown.mean)
        above = [floor for floor in found if floor.value > size]
        if d.verdict.word in DIFFERENT and above:
            shown = number(d.shown.mean, measure.digits, sign=True)
            floor = number(above[0].value, measure.digits)
            clauses.append(f"{d.arm} ({shown}): {above[0].who} disagree by {floor}")
    if not clauses:
        return ()
    title = "a difference is" if len(clauses) == 1 else f"{len(clauses)} differences are"
    return (
        Caveat(
            f"{title} smaller than what annotators disagree by",
            f"{measure.label}: {some(clauses, 'arm')}. On these masks, which all arms share, such "
            "a difference may well be real; who draws the masks may matter more than the arm.",
        ),
    )
