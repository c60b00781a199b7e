"""The noise of labels in a report: floors, a caveat, and no change of a verdict."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.report_tables import MASKS
from support.report_values import found
from support.studies.known_study import STEADY, caveat, verdicts, write_study

from segtune.report.evidence.objections.label_noise import floors, floors_text
from segtune.report.page.look import looks
from segtune.report.parts.differences.part import differences_part
from segtune.results import label_noise
from segtune.results.label_noise import LabelNoise, NoiseLevel, NoiseScore

HASH = "d" * 64


def level(amount: float, dice: float) -> NoiseLevel:
    score = NoiseScore("dice", "per_image", MASKS, "macro", "Dice", "fraction", dice, 1.0)
    return NoiseLevel("shift", amount, False, (score,))


NOISE = LabelNoise("synthetic_liver", HASH, "test", 0, (level(1.0, 0.96), level(2.0, 0.92)))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two arms that differ by 0.06 with every seed."""
    write_study(tmp_path, STEADY, data_hash=HASH)
    return tmp_path


def test_a_verdict_below_the_floor_has_a_caveat_and_stays(storage: Path) -> None:
    before = found(storage, "known").summary
    assert verdicts(before) == {"up": "better"}
    assert caveat(before, "a difference is smaller than") == ""
    label_noise.write(storage, "known", NOISE)
    after = found(storage, "known").summary
    assert verdicts(after) == verdicts(before)
    told = caveat(after, "a difference is smaller than what annotators disagree by")
    assert "two annotators whose outlines are 2 px apart disagree by 0.080" in told
    assert "1 px" not in told  # 0.04, which the difference exceeds


def test_the_part_draws_the_floor_and_names_it(storage: Path) -> None:
    label_noise.write(storage, "known", NOISE)
    findings = found(storage, "known")
    rows, comparisons = findings.study.rows, findings.summary.comparisons
    measure = comparisons[0].measure
    assert [f.value for f in floors(rows, measure)] == pytest.approx([0.04, 0.08])
    text = floors_text(floors(rows, measure), measure)
    assert "whose outlines are 1 px and 2 px apart disagree by 0.040 and 0.080" in text
    part = differences_part(rows, comparisons, looks(rows.arms, rows.baseline))
    assert text in part.sentences
    dotted = [t for t in part.figures[0][0].data if t.line.dash == "dot"]
    assert {round(abs(x), 6) for t in dotted for x in t.x} == {0.04}  # 0.08 is beyond the axis
    annotators = [i for i in findings.summary.checklist if i.question.startswith("How much do")]
    assert annotators[0].answer == text
    assert annotators[0].status == "in part"  # nobody has drawn a second time


def test_floors_of_other_data_or_masks_are_not_taken(storage: Path) -> None:
    other = replace(NOISE, content_hash="e" * 64)
    label_noise.write(storage, "known", other)
    findings = found(storage, "known")
    assert floors(findings.study.rows, findings.summary.comparisons[0].measure) == ()
    label_noise.write(storage, "known", NOISE)
    kept = label_noise.read(storage, "known")
    assert kept == NOISE  # levels of other data did not stay
    rows = found(storage, "known").study.rows
    larger = replace(findings.summary.comparisons[0].measure, resolution="image")
    assert floors(rows, larger) == ()
