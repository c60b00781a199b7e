"""Studies whose tables several tests of the report read; none of them writes there."""

import itertools
from pathlib import Path

import pytest
from support.report_tables import (
    ARMS,
    DICE,
    EPOCHS,
    LARGER_MASKS,
    MASKS,
    write_ablation,
    write_search,
)
from support.report_values import found, scores
from support.score_kinds import KINDS

from segtune.report.summarize import Findings
from segtune.results import tables
from segtune.results.study_scores import StudyScores


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation `methods` and a search `rank`."""
    folder = tmp_path_factory.mktemp("storage")
    write_ablation(folder)
    write_search(folder)
    return folder


@pytest.fixture(scope="session")
def methods(storage: Path) -> StudyScores:
    """The ablation."""
    return scores(storage, "methods")


@pytest.fixture(scope="session")
def rank(storage: Path) -> Findings:
    """The search."""
    return found(storage, "rank")


@pytest.fixture(scope="session")
def two_domains(tmp_path_factory: pytest.TempPathFactory) -> StudyScores:
    """The ablation with a second domain and a second size of mask."""
    folder = tmp_path_factory.mktemp("figures")
    write_ablation(folder)
    for arm, seed in itertools.product(ARMS, range(3)):
        key = {"trial_id": f"{arm}-s{seed}", "attempt": 1, "step": 0, "epoch": EPOCHS - 1, "n": 9,
               "metric": "dice", "protocol": "per_image", "class_name": "macro",
               **KINDS["dice"]}  # fmt: skip
        more = [
            {**key, "split": "external", "resolution": MASKS, "value": DICE[arm][seed] - 0.2},
            {**key, "split": "test", "resolution": LARGER_MASKS, "value": DICE[arm][seed] - 0.01},
        ]
        rows = [r for r in tables.read(folder, "methods", "scores").to_pylist()
                if r["trial_id"] == key["trial_id"]]  # fmt: skip
        tables.write(folder, "methods", "scores", [*rows, *more])
    return scores(folder, "methods")
