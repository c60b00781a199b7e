"""A margin that changes after a study has finished is written down, though nothing is run."""

from dataclasses import replace
from pathlib import Path

from support.report_tables import write_trial
from support.spec_jobs import Job

from segtune.execution.resources import Resources
from segtune.execution.runner import run
from segtune.observers.composite import CompositeObserver
from segtune.report.evidence.sequential.looks import undecided
from segtune.results import study_file
from segtune.study.definition import define
from segtune.study.spec import Ablation


def test_it_is_kept_of_a_finished_study(tmp_path: Path) -> None:
    first = Ablation(
        question="?",
        baseline=Job(),
        arms={"long": {"length": 3.0}},
        seeds=(0,),
        margin={"dice": 0.1},
    )
    study_file.write(tmp_path, "mine", define("mine", first))
    for arm in first.all_arms():
        write_trial(tmp_path, "mine", f"{arm}-s0", 0.5, role="arm", arm=arm, seed=0)

    def again(study: Ablation) -> int:
        observer = CompositeObserver()
        return run(study, "mine", tmp_path, Resources(), observer, undecided=undecided).ran

    before = (tmp_path / "mine" / "study.json").read_text()
    assert again(first) == 0
    assert (tmp_path / "mine" / "study.json").read_text() == before
    assert again(replace(first, margin={"dice": 0.2})) == 0
    kept = study_file.read(tmp_path, "mine") or {}
    assert kept["margin"] == {"dice": 0.2}
    assert [b["margin"] for b in kept["margin_before"]] == [{"dice": 0.1}]
