"""Every protocol in which the arms were tested: what stands in no other table of the page too."""

from collections.abc import Sequence
from dataclasses import dataclass

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import t_interval
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Raw, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.results.study_rows import MACRO, POOLED
from segtune.results.study_scores import StudyScores

TESTED = ("test", "external")
FRACTION = "fraction"


@dataclass(frozen=True)
class ProtocolScores:
    """One protocol of one metric, on one split at one size."""

    label: str
    protocol: str
    unit: str
    split: str
    resolution: str
    class_name: str
    """`macro`, or `pooled` where a protocol has one value for all classes."""
    of_arm: tuple[tuple[str, Estimate | None], ...]
    """Mean over seeds; None where no seed defines it."""

    @property
    def digits(self) -> int:
        """Decimals worth showing."""
        return 3 if self.unit == FRACTION else 2


def protocol_scores(study: StudyScores) -> tuple[ProtocolScores, ...]:
    """All protocols of the tested splits, in the order in which they were scored."""
    rows, at_best = study.rows, study.at_best
    tested = at_best[at_best["split"].isin(TESTED) & at_best["class_name"].isin((MACRO, POOLED))]
    arm_of = {
        str(trial): arm
        for arm in rows.arms
        for trial in rows.of("arm", arm=arm, status="finished")["trial_id"]
    }
    found = []
    keys = ["split", "resolution", "metric", "protocol"]
    for (split, resolution, _, protocol), of_key in tested.groupby(keys, sort=False):
        classes = set(of_key["class_name"])
        class_name = MACRO if MACRO in classes else POOLED
        chosen = of_key[of_key["class_name"] == class_name]
        values: dict[str, list[float]] = {arm: [] for arm in rows.arms}
        for trial, value in zip(chosen["trial_id"], chosen["value"], strict=True):
            if str(trial) in arm_of:
                values[arm_of[str(trial)]].append(float(value))
        first = chosen.iloc[0]
        of_arm = tuple((arm, t_interval(numbers)) for arm, numbers in values.items())
        if not any(value is not None for _, value in of_arm):
            continue
        found.append(
            ProtocolScores(
                label=str(first["label"]),
                protocol=str(protocol),
                unit=str(first["unit"]),
                split=str(split),
                resolution=str(resolution),
                class_name=class_name,
                of_arm=of_arm,
            )
        )
    return tuple(found)


def protocol_sheet(found: Sequence[ProtocolScores]) -> Sheet:
    """A row for each protocol, split and size, a column for each arm."""
    arms = [arm for arm, _ in found[0].of_arm]
    seeds = max(value.n for scores in found for _, value in scores.of_arm if value is not None)
    rows, raw = [], []
    for scores in found:
        unit = "" if scores.unit == FRACTION else f" ({scores.unit})"
        told = (f"{scores.label}{unit}", scores.protocol, scores.split, scores.resolution)
        cells = tuple(Cell(text, left=True) for text in told)
        rows.append(
            (*cells, *(estimate_cell(value, seeds, scores.digits) for _, value in scores.of_arm))
        )
        numbers: list[Raw] = [*told, scores.class_name]
        for _, value in scores.of_arm:
            numbers += raw_estimate(value)
        raw.append(tuple(numbers))
    return Sheet(
        "protocols",
        ("metric", "protocol", "split", "masks of", *arms),
        tuple(rows),
        frozenset(),
        (
            *("metric", "protocol", "split", "resolution", "class"),
            *(column for arm in arms for column in raw_header_of(arm)),
        ),
        tuple(raw),
        legend="Mean over seeds with its 95 % t interval.",
    )


def protocols_part(study: StudyScores) -> Part | None:
    """All that was scored on test; None where nothing was."""
    found = protocol_scores(study)
    if not found:
        return None
    return Part(
        "Every protocol",
        "All that was scored on test and on the external set, at every size, as means over classes "
        "(of protocols with one value for all classes that value). For looking up: with so many "
        "numbers some differ by chance, and no verdict is taken from them.",
        sheet=protocol_sheet(found),
    )
