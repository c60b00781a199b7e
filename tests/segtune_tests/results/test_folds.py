"""A seed's folds count as one trial: the mean over them."""

import math
from pathlib import Path
from typing import Any

import pytest
from support.score_kinds import KINDS
from support.studies.known_study import caveat, write_study

from segtune.report.parts.lookup import evaluated
from segtune.report.summarize import StudySummary, summarize
from segtune.results import evaluations, study_file, tables
from segtune.results.evaluations import Setting, Subject
from segtune.results.provenance import Origin
from segtune.results.schemas import TRIAL_TABLES
from segtune.results.study_rows import load

ARMS = {"base": (0.70, 0.71, 0.69), "up": (0.76, 0.77, 0.765)}
APART = (-0.04, 0.01, 0.03)
"""What is added in each fold: nothing on the mean."""


def write_folded(storage: Path, *, left_out: str | None = None, **status: str) -> None:
    """`folded`: a study of three folds, of which each trial's scores differ by `APART`."""
    for fold, extra in enumerate(APART):
        arms = {arm: [v + extra for v in values] for arm, values in ARMS.items()}
        write_study(storage, arms, study=f"fold{fold}")
        for table in TRIAL_TABLES:
            rows = []
            for row in tables.read(storage, f"fold{fold}", table).to_pylist():
                name = f"{row['trial_id']}-f{fold}"
                if name == left_out:
                    continue
                own: dict[str, Any] = {"trial_id": name, "study": "folded"}
                if table == "trials":
                    own |= {"fold": fold, "status": status.get(name.replace("-", "_"), "finished")}
                rows.append({**row, **own})
            for trial in {row["trial_id"] for row in rows}:
                of_trial = [row for row in rows if row["trial_id"] == trial]
                tables.write(storage, "folded", table, of_trial)
    defined = study_file.read(storage, "fold0")
    assert defined is not None
    study_file.write(storage, "folded", {**defined, "study": "folded", "folds": 3})


def compared(found: StudySummary) -> list[float]:
    (difference,) = found.comparisons[0].differences
    shown, patients = difference.shown, difference.over_patients
    assert shown.low is not None
    assert shown.high is not None
    assert patients is not None
    assert difference.p is not None
    values = [shown.mean, shown.low, shown.high, difference.p, *difference.per_seed]
    return [*values, patients.low, patients.high, *difference.per_patient]


def test_the_report_says_of_folds_what_it_says_of_their_means(tmp_path: Path) -> None:
    write_folded(tmp_path)
    write_study(tmp_path, ARMS, study="means")
    folded, means = summarize(tmp_path, "folded"), summarize(tmp_path, "means")
    assert compared(folded) == pytest.approx(compared(means), abs=1e-9)
    assert folded.trials == {"finished": 6}
    assert [a.seeds for a in folded.summary.arms] == [(0, 1, 2)] * 2
    assert folded.answer == means.answer


def test_a_seed_counts_once_all_its_folds_are_finished(tmp_path: Path) -> None:
    write_folded(tmp_path, left_out="up-s1-f2", up_s2_f0="failed")
    trials = load(tmp_path, "folded").trials.set_index("trial_id")["status"]
    assert trials.to_dict() == {
        **{f"base-s{seed}": "finished" for seed in range(3)},
        "up-s0": "finished",
        "up-s1": "running",
        "up-s2": "failed",
    }
    assert summarize(tmp_path, "folded").comparisons[0].differences[0].seeds == (0,)


def test_curves_have_the_epochs_that_every_fold_has(tmp_path: Path) -> None:
    write_folded(tmp_path)
    rows = tables.read(tmp_path, "folded", "scores", trial_id="up-s0-f1").to_pylist()
    last = max(row["epoch"] for row in rows)
    tables.write(tmp_path, "folded", "scores", [r for r in rows if r["epoch"] < last])
    found = load(tmp_path, "folded").scores
    val = found[found["split"] == "val"].groupby("trial_id")["epoch"].max()
    assert val["up-s0"] == last - 1
    assert val["up-s1"] == last


def test_a_seed_has_no_score_where_a_fold_has_none(tmp_path: Path) -> None:
    write_folded(tmp_path)
    for table in ("scores", "images"):
        rows = tables.read(tmp_path, "folded", table, trial_id="up-s1-f2").to_pylist()
        for row in rows:
            if row["split"] == "test" and row.get("sample_id", "p0-0") == "p0-0":
                row["value"] = math.nan
        tables.write(tmp_path, "folded", table, rows)
    found = load(tmp_path, "folded")
    for frame, where in ((found.scores, "trial_id"), (found.images, "sample_id")):
        test = frame[frame["split"] == "test"]
        undefined = test[test["value"].isna()]
        assert undefined["trial_id"].tolist() == ["up-s1"], where
    assert summarize(tmp_path, "folded").comparisons[0].differences[0].seeds == (0, 2)


def test_the_report_says_that_tuning_saw_patients_of_the_folds(tmp_path: Path) -> None:
    write_folded(tmp_path)
    title = "tuned on patients of the folds"
    assert not caveat(summarize(tmp_path, "folded"), title)
    write_study(tmp_path, ARMS, study="tuned", tune={"up": {"rank": (2, 4)}})
    assert not caveat(summarize(tmp_path, "tuned"), title), "without folds val is not dealt out"
    for table in TRIAL_TABLES:
        for trial in ("up-t0", "up-t1"):
            rows = tables.read(tmp_path, "tuned", table, trial_id=trial).to_pylist()
            if rows and table != "trials":
                tables.write(tmp_path, "folded", table, rows)
            elif rows:
                tables.write(tmp_path, "folded", table, [{**rows[0], "study": "folded"}])
    text = caveat(summarize(tmp_path, "folded"), title)
    assert "chosen on the data set's own val" in text
    assert "those on test are not" in text


def evaluate(storage: Path, trial: str, value: float, *, split: str = "test") -> None:
    """One score of a trial, as `segtune evaluate` keeps it."""
    arm, seed, _ = trial.split("-")
    subject = Subject(
        trial_id=trial, arm=arm, seed=int(seed[1:]), source="checkpoint", source_hash=trial
    )
    setting = Setting(
        data="other",
        settings={},
        data_hash=trial[-2:],
        split=split,
        resolution="image",
        prompts=None,
        device="cpu",
    )
    score = {"class_name": "macro", "metric": "dice", **KINDS["dice"], "protocol": "per_image"}
    origin = Origin(None, None, {})
    evaluations.write(
        storage, "folded", subject, setting, origin, scores=[{**score, "value": value}], images=[]
    )


def test_what_was_evaluated_afterwards_counts_where_every_fold_was(tmp_path: Path) -> None:
    write_folded(tmp_path, up_s2_f1="failed")
    for fold, value in enumerate((0.5, 0.6, 0.9)):
        for trial in ("base-s0", "up-s0", "up-s2"):
            evaluate(tmp_path, f"{trial}-f{fold}", value, split="val")
    evaluate(tmp_path, "base-s1-f0", 0.1, split="val")
    found = evaluated.evaluations(load(tmp_path, "folded"))
    assert found.left_out == ("base-s1-f0", "up-s2")
    (scores,) = found.scores
    assert [name for name, _ in scores.of_arm] == ["base", "up"]
    for _, estimate in scores.of_arm:
        assert estimate is not None
        assert estimate.n == 1
        assert estimate.mean == pytest.approx(2 / 3)


def test_an_ensemble_of_folds_that_did_not_finish_is_left_out(tmp_path: Path) -> None:
    write_folded(tmp_path, up_s2_f1="failed")
    row = {"source": "ensemble", "class_name": "macro", "data": "other", "settings": "{}"}
    for name, seed in (("whole", 1), ("early", 2)):
        members = [f"up-s{seed}-f{fold}" for fold in range(3)]
        own = {"evaluation": name, "arm": name, "members": members, "value": 0.5}
        tables.put(tmp_path, "folded", "evaluations", f"{name}.parquet", [{**row, **own}])
    found = evaluated.evaluations(load(tmp_path, "folded"))
    assert found.left_out == ("early",)
    assert [name for name, _ in found.ensembles] == ["whole"]
