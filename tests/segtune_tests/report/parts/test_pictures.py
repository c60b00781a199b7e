"""Which pictures are shown, and how they are composed."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from support.report_tables import CLASSES, write_ablation
from support.report_values import scores as scores_of_study

from segtune.report.parts.overlays import CONFUSED, FALSE, MISSED, contour, errors, overlay
from segtune.report.parts.pictures import choose_samples, gallery
from segtune.results import tables
from segtune.results.study_scores import StudyScores


def test_pictures_compose(methods: StudyScores) -> None:
    found = gallery(methods, [("full", "full-s0"), ("gone", "none"), ("lora", "lora-s0")])
    assert found is not None
    assert found.grid.blocks[0].heads == ("image, truth", "full", "lora")
    assert [(e.name, e.color) for e in found.grid.legend[: len(CLASSES)]] == [
        (name, f"rgb{color}") for name, color in CLASSES.items()
    ]
    rows = found.grid.blocks[0].rows
    assert [row.label.partition(":")[0] for row in rows] == [
        "best pictured", "pictured nearest to the median", "worst pictured",
    ]  # fmt: skip
    cells = [cell for row in rows for cell in row.cells]
    assert len(cells) == 3 * 3
    assert all(c.above.startswith("data:image/webp;base64,") for c in cells)
    assert all(c.below.startswith("data:image/webp;base64,") for c in cells)
    assert rows[0].cells[1].note.startswith("Dice 0.")


def test_a_class_of_another_data_set_is_in_the_legend(tmp_path: Path) -> None:
    """Its colour is the first of the palette, which is the ridge's too."""
    write_ablation(tmp_path, seeds=(0,))
    scored = tables.read(tmp_path, "methods", "scores").to_pylist()
    for trial in {r["trial_id"] for r in scored}:
        names = {"ridge": "polyp", "macro": "macro", "pooled": "pooled"}
        rows = [
            {**r, "class_name": names[r["class_name"]]}
            for r in scored
            if r["trial_id"] == trial and r["class_name"] in names
        ]
        tables.write(tmp_path, "methods", "scores", rows)
    found = gallery(scores_of_study(tmp_path, "methods"), [("full", "full-s0")])
    assert found is not None
    assert ("polyp", f"rgb{CLASSES['ridge']}") in [(e.name, e.color) for e in found.grid.legend]


def test_best_median_and_worst_are_of_those_pictured() -> None:
    scores = pd.Series({f"s{i}": 1 - i / 10 for i in range(9)} | {"gone": math.nan})
    chosen = choose_samples({"s1", "s3", "s5", "s8", "gone"}, scores)
    assert chosen == (
        ("s1", "best pictured: rank 2 of 9"),
        ("s3", "pictured nearest to the median: rank 4 of 9"),
        ("s8", "worst pictured: rank 9 of 9"),
    )
    assert choose_samples({"s4"}, scores) == (("s4", "best pictured: rank 5 of 9"),)
    assert [words.partition(":")[0] for _, words in choose_samples({"s6", "s7", "s8"}, scores)] == [
        "best pictured", "pictured nearest to the median", "worst pictured",
    ]  # fmt: skip
    assert choose_samples({"b", "a"}, scores.iloc[:0]) == (("a", ""), ("b", ""))


def test_errors_are_told_apart() -> None:
    red, blue, none = (255, 0, 0), (0, 0, 255), (0, 0, 0)
    truth = np.array([[red, red, none, red, none]], np.uint8)
    labels = np.array([[red, none, red, blue, none]], np.uint8)
    assert errors(labels, truth).tolist() == [
        [list(none), list(MISSED), list(FALSE), list(CONFUSED), list(none)]
    ]


def test_overlay_fills_the_prediction_and_outlines_the_truth() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    labels = np.zeros((8, 8, 3), np.uint8)
    labels[2:6, 2:6] = (230, 75, 53)
    edge = contour(labels)
    assert edge.sum() == 12
    assert not edge[3:5, 3:5].any()
    drawn = overlay(image, labels, labels)
    assert drawn[2, 2].tolist() == [255, 255, 255]
    assert drawn[3, 3].tolist() == [178, 85, 72]
    assert drawn[0, 0].tolist() == [100, 100, 100]
