"""What the arms were given: budgets and tuning trials."""

import json
from pathlib import Path

from support.report_tables import EPOCHS, write_ablation, write_trial
from support.report_values import markup, scores
from support.studies.known_study import NANO, write_study

from segtune.report import build, summarize
from segtune.report.evidence.objections.tuning import candidates
from segtune.report.parts.notes import notes
from segtune.results import study_file, tables


def test_budget_says_what_was_held_and_what_varied(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.7, 0.7)})
    found = summarize(tmp_path, "known").budget
    assert found.fixed == (
        f"epochs {EPOCHS}", "batch size 8", "data", "seeds 0, 1, 2", "workers 1",
    )  # fmt: skip
    assert not found.varied  # nothing differs in what ran, whatever was asked
    assert not found.unequal
    longer = {**NANO, "schedule": {"epochs": 2 * EPOCHS, "batch_size": 8}}
    write_trial(tmp_path, "known", "up-s3", 0.7, role="arm", arm="up", seed=3,
                config=json.dumps(longer), data_hash="other")  # fmt: skip
    told = " ".join(summarize(tmp_path, "known").budget.unequal)
    assert f"epochs ({2 * EPOCHS}, {EPOCHS})" in told
    assert "data are not the same" in told
    assert "seeds are not the same" in told


def test_budget_tells_what_ran_not_what_was_asked(tmp_path: Path) -> None:
    """Both have rank 8; the learning rate came along with the method."""
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.7, 0.7)})
    methods = {"base": {"name": "lora", "rank": 8, "lr": 0.01},
               "up": {"name": "galore", "rank": 8, "lr": 0.003}}  # fmt: skip
    asked = {"base": {}, "up": {"method": "galore", "method.rank": 8}}
    for arm, method in methods.items():
        for seed in range(3):
            write_trial(tmp_path, "known", f"{arm}-s{seed}", 0.7, role="arm", arm=arm, seed=seed,
                        config=json.dumps({**NANO, "method": method}),
                        changes=json.dumps(asked[arm]))  # fmt: skip
    found = summarize(tmp_path, "known").budget
    assert found.varied == ("method", "method.lr")
    for arm, rate in (("base", 0.02), ("up", 0.002)):  # on record, it counts
        for seed in range(3):
            write_trial(tmp_path, "known", f"{arm}-s{seed}", 0.7, role="arm", arm=arm, seed=seed,
                        config=json.dumps({**NANO, "method": {**methods[arm], "lr": None}}),
                        changes=json.dumps(asked[arm]), adapted_lr=rate)  # fmt: skip
    again = {a.arm: dict(a.changes) for a in summarize(tmp_path, "known").budget.arms}
    assert again == {"base": {}, "up": {"method": "galore", "method.lr": 0.002}}
    assert {a.arm: dict(a.changes) for a in found.arms} == {
        "base": {}, "up": {"method": "galore", "method.lr": 0.003},
    }  # fmt: skip


def test_how_often_gradients_were_clipped_is_told(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.7, 0.7)})
    for arm, longest in (("base", 2.0), ("up", 0.5)):
        for seed in range(3):
            trial = f"{arm}-s{seed}"
            clip = {"clip_norm": 1.0}
            write_trial(tmp_path, "known", trial, 0.7, role="arm", arm=arm, seed=seed,
                        config=json.dumps({**NANO, "optim": clip}))  # fmt: skip
            rows = tables.read(tmp_path, "known", "steps", trial_id=trial).to_pylist()
            for row in rows:  # three of four are as long as that
                row["gradient_norm"] = longest if row["step"] % 4 else 0.1
            tables.write(tmp_path, "known", "steps", rows)
    found = summarize(tmp_path, "known").budget
    assert {a.arm: a.clipped for a in found.arms} == {"base": 0.75, "up": 0.0}
    assert "counted for little: base 75%." in " ".join(found.sentences)
    page = build(tmp_path, ["known"], tmp_path / "r.html")
    assert "75%" in markup(page)


def test_tuning_names_the_best_of_each_arm(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    for number, lr in enumerate((1e-3, 1e-4)):
        write_trial(tmp_path, "methods", f"lora-t{number}", 0.6 + 0.01 * number, role="tune",
                    arm="lora", seed=1000, number=number, tested=False,
                    changes=json.dumps({"method": "lora", "method.lr": lr}))  # fmt: skip
    _, found = candidates(scores(tmp_path, "methods"))
    assert [(c.changes, c.chosen) for c in found] == [
        ("method=lora, method.lr=0.001", False), ("method=lora, method.lr=0.0001", True),
    ]  # fmt: skip
    page = build(tmp_path, ["methods"], tmp_path / "r.html")
    assert "full 0, galore 0, lora 2, srft_galore 0" in markup(page)


def test_tuning_is_by_what_chooses_the_best_epoch(tmp_path: Path) -> None:
    """A study that selects on the lowest ASSD takes another candidate than one on Dice."""
    write_ablation(tmp_path, seeds=(0,))
    for number, (dice, farther) in enumerate(((0.6, 0.0), (0.7, 40.0))):
        write_trial(tmp_path, "methods", f"lora-t{number}", dice, role="tune", arm="lora",
                    seed=1000, number=number, tested=False, farther=farther,
                    changes=json.dumps({"method.lr": number}))  # fmt: skip
    _, by_dice = candidates(scores(tmp_path, "methods"))
    assert [c.chosen for c in by_dice] == [False, True]
    defined = study_file.read(tmp_path, "methods") or {}
    selection = {"metric": "assd", "class_name": "pooled", "protocol": "per_class_px",
                 "direction": "minimize"}  # fmt: skip
    study_file.write(tmp_path, "methods", {**defined, "selection": selection})
    study = scores(tmp_path, "methods")
    measure, by_assd = candidates(study)
    assert measure is not None
    assert measure.metric == "assd"
    assert [c.chosen for c in by_assd] == [True, False]
    assert dict(notes(study))["Which epoch"].startswith(
        "Every trial is judged at the epoch with the lowest pooled assd on val."
    )
