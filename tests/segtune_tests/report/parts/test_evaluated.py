"""What was scored after the study: one row for each metric of an evaluation, means over seeds."""

from pathlib import Path
from typing import Any

import pytest
from support.report_tables import write_ablation, write_trial
from support.report_values import scores
from support.score_kinds import KINDS

from segtune.report.build import assemble
from segtune.report.parts.lookup.evaluated import evaluated_part, evaluations
from segtune.results import evaluations as kept
from segtune.results.evaluations import Setting, Subject
from segtune.results.provenance import Origin

SETTING: dict[str, Any] = {
    "data": "folder",
    "settings": {},
    "data_hash": "a" * 64,
    "split": "test",
    "resolution": "96x96",
    "prompts": "none",
    "device": "cpu",
}


def evaluate(storage: Path, arm: str, seed: int | None, value: float, **setting: Any) -> None:
    trial, members = setting.pop("trial", f"{arm}-s{seed}"), setting.pop("members", ())
    subject = Subject(
        trial_id=trial,
        arm=arm,
        seed=seed,
        source="ensemble" if members else "predictions" if trial is None else "checkpoint",
        source_hash="0",
        members=members,
    )
    one = {"metric": "dice", "protocol": "per_image", "class_name": "macro", "n": 4}
    rows = [{**one, **KINDS["dice"], "value": value}]
    rows.append({**rows[0], "class_name": "pooled", "value": 0.99})
    kept.write(
        storage,
        "methods",
        subject,
        Setting(**{**SETTING, **setting}),
        Origin(None, None, {}),
        scores=rows,
        images=[],
    )


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_ablation(tmp_path)
    return tmp_path


def test_nothing_was_evaluated(storage: Path) -> None:
    assert evaluated_part(scores(storage, "methods").rows) is None


def test_seeds_of_an_arm_are_averaged_and_other_sets_stand_apart(storage: Path) -> None:
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        evaluate(storage, "lora", seed, value)
    evaluate(storage, "galore", 0, 0.4)
    evaluate(storage, "galore", 0, 0.3)  # done again
    evaluate(storage, "nnunet", None, 0.8, trial=None)
    evaluate(storage, "lora", 0, 0.1, data_hash="b" * 64)
    evaluate(storage, "lora", 0, 0.2, settings={"data.patient": "(.)", "tta.flips": ["both"]})
    evaluate(storage, "lora", 0, 0.9, data="kvasir_sessile", split="val")
    found = evaluations(scores(storage, "methods").rows)
    by_row = {(s.data, s.told, s.split): dict(s.of_arm) for s in found.scores}
    first = by_row["folder #aaaaaaaa", "", "test"]
    assert list(first) == ["galore", "lora", "nnunet"]
    lora = first["lora"]
    assert lora is not None
    assert lora.mean == pytest.approx(0.6)
    assert lora.n == 3
    for arm, value in (("galore", 0.3), ("nnunet", 0.8)):
        estimate = first[arm]
        assert estimate is not None
        assert (estimate.mean, estimate.n) == (value, 1)
    assert set(by_row) == {
        ("folder #aaaaaaaa", "", "test"),
        ("folder #bbbbbbbb", "", "test"),
        ("folder, patient=(.)", 'tta.flips=["both"]', "test"),
        ("kvasir_sessile", "", "val"),
    }
    assert found.others == ("nnunet",)
    part = evaluated_part(scores(storage, "methods").rows)
    assert part is not None
    assert part.sheet is not None
    assert all(len(row) == len(part.sheet.header) for row in part.sheet.rows)
    assert all(len(row) == len(part.sheet.raw_header) for row in part.sheet.raw_rows)
    assert any("nnunet" in s for s in part.sentences)
    assert any("train and val" in s for s in part.sentences)


def test_trials_that_did_not_finish_are_named_and_in_no_mean(storage: Path) -> None:
    write_trial(storage, "methods", "lora-s7", 0.9, arm="lora", seed=7, role="arm", status="failed")
    evaluate(storage, "lora", 7, 0.9)
    evaluate(storage, "lora", 0, 0.5)
    found = evaluations(scores(storage, "methods").rows)
    assert found.left_out == ("lora-s7",)
    (only,) = found.scores
    (estimate,) = [e for _, e in only.of_arm]
    assert estimate is not None
    assert (estimate.mean, estimate.n) == (0.5, 1)


def test_an_ensemble_stands_beside_its_arm_and_says_of_what_it_is(storage: Path) -> None:
    for seed, value in enumerate((0.5, 0.6)):
        evaluate(storage, "lora", seed, value)
    evaluate(storage, "lora-ensemble", None, 0.7, trial=None, members=("lora-s0", "lora-s1"))
    rows = scores(storage, "methods").rows
    found = evaluations(rows)
    (row,) = found.scores
    assert [name for name, _ in row.of_arm] == ["lora", "lora-ensemble"]
    assert found.others == ()
    part = evaluated_part(rows)
    assert part is not None
    assert any("lora-ensemble is an ensemble" in s and "lora-s1" in s for s in part.sentences)
    write_trial(storage, "methods", "lora-s7", 0.9, arm="lora", seed=7, role="arm", status="failed")
    evaluate(storage, "early-ensemble", None, 0.8, trial=None, members=("lora-s0", "lora-s7"))
    found = evaluations(scores(storage, "methods").rows)
    assert found.left_out == ("early-ensemble",)
    assert [name for name, _ in found.ensembles] == ["lora-ensemble"]


def test_it_is_a_section_of_the_page(storage: Path) -> None:
    evaluate(storage, "lora", 0, 0.123)
    (section,) = assemble(storage, ["methods"])
    titles = [part.title for part in section.parts]
    assert titles.index("Evaluated afterwards") > titles.index("Every protocol")
    assert "evaluations" in [sheet.name for sheet in section.exported]
