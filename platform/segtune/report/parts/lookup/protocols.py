"""Every protocol in which the arms were tested: what stands in no other table of the page too."""

from collections.abc import Sequence

from segtune.report.evidence.stats import t_interval
from segtune.report.page.page import Part
from segtune.report.page.sheet import Sheet
from segtune.report.parts.lookup.mean_scores import (
    MeanScores,
    cell_of,
    of_all_classes,
    raw_of,
    scores_sheet,
)
from segtune.results.study_rows import MACRO, POOLED
from segtune.results.study_scores import StudyScores

TESTED = ("test", "external")


def protocol_scores(study: StudyScores) -> tuple[MeanScores, ...]:
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
        chosen = of_all_classes(of_key)
        values: dict[str, list[float]] = {arm: [] for arm in rows.arms}
        for trial, value in zip(chosen["trial_id"], chosen["value"], strict=True):
            if str(trial) in arm_of:
                values[arm_of[str(trial)]].append(float(value))
        first = chosen.iloc[0]
        of_arm = tuple((arm, t_interval(numbers)) for arm, numbers in values.items())
        if not any(value is not None for _, value in of_arm):
            continue
        found.append(
            MeanScores(
                label=str(first["label"]),
                protocol=str(protocol),
                unit=str(first["unit"]),
                split=str(split),
                resolution=str(resolution),
                class_name=str(first["class_name"]),
                of_arm=of_arm,
            )
        )
    return tuple(found)


def protocol_sheet(found: Sequence[MeanScores]) -> Sheet:
    """A row for each protocol, split and size, a column for each arm."""
    told = ("metric", "protocol", "split", "resolution")
    return scores_sheet(
        "protocols",
        found,
        columns=zip(("metric", "protocol", "split", "masks of"), map(cell_of, told), strict=True),
        raw_columns=zip((*told, "class"), map(raw_of, (*told, "class_name")), strict=True),
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
