"""A study with sequential seeds is finished once no arm goes on, however many seeds there are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.spec_jobs import Job
from support.studies.known_study import write_study

from segtune import Ablation, Sequential
from segtune.execution import runner
from segtune.execution.resources import Resources
from segtune.observers.composite import CompositeObserver
from segtune.report.evidence.sequential.looks import undecided
from segtune.study.definition import define

STUDY = Ablation(
    question="?",
    baseline=Job(),
    arms={"long": {"length": 3.0}},
    seeds=Sequential(at_least=3, at_most=10),
)


class Started(Exception):
    """Something would be trained."""


def _run(storage: Path, values: Sequence[float], monkeypatch: pytest.MonkeyPatch) -> int:
    arms = {"baseline": [0.7, 0.701, 0.699], "long": values}
    write_study(storage, arms, defined=define("known", STUDY))

    def start(*given: object) -> None:
        raise Started

    monkeypatch.setattr("segtune.execution.order.check_data_and_weights", start)
    observer = CompositeObserver()
    return runner.run(STUDY, "known", storage, Resources(), observer, undecided=undecided).ran


def test_a_decided_one_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(tmp_path, [0.8, 0.801, 0.799], monkeypatch) == 0


def test_an_open_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Started):
        _run(tmp_path, [0.71, 0.713, 0.7], monkeypatch)
