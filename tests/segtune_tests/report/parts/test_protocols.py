"""Every protocol of the tested splits, for looking up."""

import numpy as np
import pandas as pd
import pytest

from segtune.report.parts.lookup.protocols import protocol_scores, protocol_sheet, protocols_part
from segtune.results.study_scores import StudyScores


def test_every_protocol_stands_once_for_a_split_and_size(two_domains: StudyScores) -> None:
    found = protocol_scores(two_domains)
    keys = [(s.label, s.protocol, s.split, s.resolution) for s in found]
    assert len(keys) == len(set(keys))
    assert {s.split for s in found} == {"test", "external"}
    tested = two_domains.at_best[two_domains.at_best["split"].isin(("test", "external"))]
    there = tested[["split", "resolution", "metric", "protocol"]].drop_duplicates()
    assert len(keys) == len(there)


def test_values_are_means_over_finished_trials(two_domains: StudyScores) -> None:
    rows = two_domains.rows
    for scores in protocol_scores(two_domains):
        for arm, estimate in scores.of_arm:
            trials = set(rows.of("arm", arm=arm, status="finished")["trial_id"])
            table: pd.DataFrame = two_domains.at_best
            chosen = table[
                table["trial_id"].isin(trials)
                & (table["split"] == scores.split)
                & (table["resolution"] == scores.resolution)
                & (table["protocol"] == scores.protocol)
                & (table["label"] == scores.label)
                & (table["class_name"] == scores.class_name)
            ]
            finite = chosen["value"][np.isfinite(chosen["value"])]
            assert estimate is not None
            assert estimate.mean == pytest.approx(finite.mean())
            assert estimate.n == len(finite)


def test_the_sheet_has_a_column_for_each_arm_and_all_digits(two_domains: StudyScores) -> None:
    found = protocol_scores(two_domains)
    sheet = protocol_sheet(found)
    assert sheet.header[4:] == tuple(two_domains.rows.arms)
    assert all(len(row) == len(sheet.header) for row in sheet.rows)
    assert all(len(row) == len(sheet.raw_header) for row in sheet.raw_rows)
    part = protocols_part(two_domains)
    assert part is not None
    assert "no verdict" in part.caption
