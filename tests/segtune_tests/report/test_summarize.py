"""What the report concludes, from tables written here: `summarize` and what it is made of."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.report_tables import EPOCHS, MASKS, SIDE, write_search, write_trial
from support.score_kinds import KINDS

from segtune.report import build, summarize
from segtune.report.carried import changed
from segtune.report.head import banners
from segtune.report.stats import Estimate, over_both
from segtune.report.summarize import StudySummary
from segtune.report.text import MINUS
from segtune.results import study_file, tables
from segtune.results.measures import Measure, choose
from segtune.results.study_rows import load

PATIENTS, IMAGES = 8, 3
"""IMAGES: of each patient."""
ONE_CLASS = "ridge"
NANO = {
    "data": {"name": "synthetic_liver", "size": 96},
    "schedule": {"epochs": EPOCHS, "batch_size": 8},
    "method": {"name": "lora", "lr": 0.001},
}


def write_study(
    storage: Path,
    arms: Mapping[str, Sequence[float]],
    *,
    study: str = "known",
    per_patient: Mapping[str, Sequence[float]] | None = None,
    rising: Sequence[str] = (),
    tune: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    patients: int = PATIENTS,
    config: Mapping[str, Any] = NANO,
    **row: Any,
) -> None:
    """Arms of one class whose Dice on every image is a seed's plus a patient's part.

    Args:
        storage: the folder that holds the studies.
        arms: arm -> its value with each seed; the first arm is the baseline.
        study: its name.
        per_patient: arm -> what is added for each patient.
        rising: arms that are best after the last epoch.
        tune: arm -> field -> values tried; the largest is best.
        patients: on test.
        config: of every trial.
        row: columns of every trial.
    """
    seeds = range(max(len(values) for values in arms.values()))
    study_file.write(storage, study, {
        "schema_version": 2, "study": study, "kind": "ablation", "question": "Which is best?",
        "baseline": {}, "baseline_arm": next(iter(arms)), "arms": {a: {"method": a} for a in arms},
        "seeds": list(seeds), "tune": tune or {},
    })  # fmt: skip
    rng = np.random.default_rng(0)
    common = {"config": json.dumps(config), "git_dirty": False, "pictured": False, **row}
    for arm, values in arms.items():
        for seed, value in enumerate(values):
            trial = f"{arm}-s{seed}"
            write_trial(storage, study, trial, value, role="arm", arm=arm, seed=seed,
                        changes=json.dumps({"method": arm}), **common)  # fmt: skip
            extra = np.asarray((per_patient or {}).get(arm, [0.0] * patients))
            noise = rng.normal(0, 0.002, patients * IMAGES)
            dice = value + np.repeat(extra, IMAGES) + noise
            rewrite_scores(storage, study, trial, float(dice.mean()), arm in rising)
            tables.write(storage, study, "images", [
                {"trial_id": trial, "attempt": 1, "split": "test", "resolution": MASKS,
                 "sample_id": f"p{i // IMAGES}-{i}", "patient_id": f"p{i // IMAGES}",
                 "class_name": ONE_CLASS, "metric": "dice", "protocol": "per_image",
                 "value": float(v)}
                for i, v in enumerate(dice)
            ])  # fmt: skip
        for number, chosen in enumerate(
            itertools.product(*(tune or {}).get(arm, {}).values()) if (tune or {}).get(arm) else ()
        ):
            changes = {"method": arm, **dict(zip((tune or {})[arm], chosen, strict=True))}
            write_trial(storage, study, f"{arm}-t{number}", 0.5 + 0.01 * number, role="tune",
                        arm=arm, seed=1000, number=number, tested=False,
                        changes=json.dumps(changes), **common)  # fmt: skip


def rewrite_scores(storage: Path, study: str, trial: str, test: float, rising: bool) -> None:
    """Macro Dice: a curve on val that is best at its end or not, and a value on test."""
    best = EPOCHS if rising else EPOCHS - 1
    [row] = [r for r in tables.read(storage, study, "trials").to_pylist() if r["trial_id"] == trial]
    tables.write(storage, study, "trials", [{**row, "best_epoch": best}])
    common = {"trial_id": trial, "attempt": 1, "resolution": MASKS, "class_name": "macro",
              "metric": "dice", "protocol": "per_image", **KINDS["dice"]}  # fmt: skip
    val = [0.5 + 0.02 * e - 0.1 * (e > best) for e in range(1, EPOCHS + 1)]
    rows = [
        {**common, "step": e, "epoch": e, "split": "val", "value": v, "n": 8}
        for e, v in enumerate(val, 1)
    ]
    tested = {**common, "step": best, "epoch": best, "split": "test", "value": test, "n": 24}
    tables.write(storage, study, "scores", [*rows, tested])


def verdicts(found: StudySummary) -> dict[str, str]:
    return {d.arm: d.verdict.text for d in found.comparisons[0].differences}


def caveat(found: StudySummary, title: str) -> str:
    """The text of a caveat; empty where there is none of that title."""
    return " ".join(c.text for c in found.caveats if c.title.startswith(title))


def test_plain_words(tmp_path: Path) -> None:
    arms = {
        "base": (0.70, 0.71, 0.69),
        "up": (0.76, 0.77, 0.76),
        "down": (0.64, 0.65, 0.62),
        "same": (0.71, 0.70, 0.70),
    }
    write_study(tmp_path, arms)
    found = summarize(tmp_path, "known")
    assert verdicts(found) == {
        "up": "better",
        "down": "worse",
        "same": "cannot tell with n = 3 seeds and 8 patients",
    }
    assert len(found.answer) == 3
    assert "up (+0.06" in found.answer[0]
    assert "is better than base" in found.answer[0]
    same = next(d for d in found.comparisons[0].differences if d.arm == "same")
    assert same.over_both is not None
    low = f"{same.over_both.low:+.3f}".replace("-", MINUS)
    assert f"one cannot tell same ({same.over_seeds.mean:+.3f} [{low}, +" in found.answer[0]
    assert "]) from base with n = 3 seeds and 8 patients" in found.answer[0]
    assert "The best mean Dice is up's" in found.answer[1]
    up = next(a for a in found.summary.arms if a.arm == "up").values["dice_macro"]
    assert up.sd == pytest.approx(np.std([0.76, 0.77, 0.76], ddof=1), abs=0.002)


def test_a_lead_that_is_not_shown_may_be_chance(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.71, 0.69), "same": (0.71, 0.70, 0.70)})
    said = summarize(tmp_path, "known").answer[1]
    assert said.startswith("The best mean Dice, which may be chance, is same's")


def test_a_difference_that_is_shown_may_be_small(tmp_path: Path) -> None:
    up, far = ((b + 0.004 for b in STEADY["base"]), (b + 0.06 for b in STEADY["base"]))
    write_study(tmp_path, {"base": STEADY["base"], "up": tuple(up)}, study="one")
    assert "better than base, but by less than 0.01." in summarize(tmp_path, "one").answer[0]
    arms = {"base": STEADY["base"], "far": tuple(far), "up": (0.704, 0.714, 0.694, 0.704, 0.709)}
    write_study(tmp_path, arms, study="two")
    assert "are better than base, up by less than 0.01." in summarize(tmp_path, "two").answer[0]


def test_verdicts_over_hardly_any_patients_are_an_objection(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY, patients=4, study="four")
    write_study(tmp_path, STEADY, patients=6, study="six")
    four, six = summarize(tmp_path, "four"), summarize(tmp_path, "six")
    assert verdicts(four)["up"] == verdicts(six)["up"] == "better"
    assert "patients of a kind that is not among these 4" in caveat(four, "only 4 test patients")
    assert not caveat(six, "only")


@pytest.mark.parametrize("n", [1, 2])
def test_few_seeds_are_no_evidence_however_they_agree(n: int, tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.701)[:n], "up": (0.90, 0.901)[:n]})
    found = summarize(tmp_path, "known")
    [d] = found.comparisons[0].differences
    assert d.verdict.text == f"cannot tell with n = {n} seed{'s' if n > 1 else ''}"
    assert (d.p, d.p_holm, d.p_seeds, d.over_both) == (None, None, None, None)
    assert (d.over_seeds.low is None) == (n == 1)
    assert "At least 3 are needed" in caveat(found, "too few seeds")


def test_few_patients_are_no_evidence(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.9, 0.92, 0.9)}, patients=2)
    assert verdicts(summarize(tmp_path, "known")) == {
        "up": "cannot tell with scores of 2 test patients"
    }


def test_a_difference_that_hangs_on_the_patients_is_not_told(tmp_path: Path) -> None:
    """All seeds agree, but half of the patients are better and half are worse off."""
    gains = {"up": [0.2, 0.15, 0.2, 0.1, -0.1, -0.05, -0.1, -0.1]}
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.711, 0.702)}, per_patient=gains)
    [d] = summarize(tmp_path, "known").comparisons[0].differences
    assert d.p_seeds is not None
    assert d.p_seeds < 0.001
    assert d.verdict.word == "cannot tell"


def test_holm_counts_the_arms(tmp_path: Path) -> None:
    others = {f"a{i}": (0.70 + i / 1000, 0.69, 0.71) for i in range(8)}
    weak = {"base": (0.70, 0.71, 0.69), "up": (0.712, 0.721, 0.700)}
    write_study(tmp_path, weak, study="alone")
    write_study(tmp_path, {**weak, **others}, study="many")
    assert verdicts(summarize(tmp_path, "alone"))["up"] == "better"
    [d] = [d for d in summarize(tmp_path, "many").comparisons[0].differences if d.arm == "up"]
    assert d.verdict.word == "better" or (d.p or 1) < 0.05 <= (d.p_holm or 0)
    assert d.p_holm == pytest.approx(min(1.0, 9 * (d.p or 1)))


def test_one_patient_that_carries_a_difference_is_named(tmp_path: Path) -> None:
    steady = {"base": (0.70, 0.71, 0.69), "up": (0.70, 0.712, 0.693)}
    write_study(tmp_path, steady, per_patient={"up": [0.01] * 7 + [-0.2]})
    said = caveat(summarize(tmp_path, "known"), "a single patient")
    assert "without patient p7 up could be told from the baseline" in said


def test_one_seed_that_carries_a_difference_is_named(tmp_path: Path) -> None:
    arms = {"base": (0.70, 0.70, 0.70, 0.70), "up": (0.73, 0.731, 0.729, 0.65)}
    write_study(tmp_path, arms)
    assert "without seed 3 up could be told" in caveat(summarize(tmp_path, "known"), "a single")


def test_a_steady_difference_is_carried_by_nobody(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.71, 0.69, 0.7), "up": (0.80, 0.81, 0.80, 0.79)})
    assert not caveat(summarize(tmp_path, "known"), "a single patient")


def test_seeds_and_patients_that_it_would_take(tmp_path: Path) -> None:
    arms = {"base": (0.70, 0.72, 0.68, 0.70), "other": (0.71, 0.70, 0.72, 0.68)}
    write_study(tmp_path, arms, per_patient={"other": [0.1, -0.1] * 4})
    found = summarize(tmp_path, "known")
    seeds, patients = caveat(found, "too few seeds"), caveat(found, "too few test patients")
    assert "to show a difference of 0.01 in Dice" in seeds
    sd = np.std(found.comparisons[0].differences[0].per_seed, ddof=1)
    # Normal approximation: (1.96 + 0.84)^2 sd^2 / 0.01^2 pairs, twice that as the
    # patients vary too, and about two more for the t test.
    wanted = math.ceil((1.96 + 0.84) ** 2 * 2 * (sd / 0.01) ** 2) + 2
    told = int(seeds.split("it takes about ")[1].split()[0])
    assert told == pytest.approx(wanted, rel=0.05)  # two digits
    assert f"about {told} seeds instead of 4" in seeds
    assert "test patients" in patients


def test_values_at_the_edge_and_arms_left_untuned(tmp_path: Path) -> None:
    tune = {"up": {"method.lr": (1e-4, 1e-3, 1e-2)}}
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)}, tune=tune)
    found = summarize(tmp_path, "known")
    assert "up's method.lr=0.01 is the largest of 0.0001, 0.001 and 0.01" in caveat(found, "tuned")
    assert "base were not tuned while others were" in caveat(found, "not every arm")
    assert {a.arm: a.tries for a in found.budget.arms} == {"base": 0, "up": 3}
    assert any("tuning trials (base 0, up 3)" in text for text in found.budget.unequal)


def test_a_value_inside_its_range_is_no_caveat(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.7, 0.71), "up": (0.7, 0.7, 0.72)},
                tune={"up": {"method.lr": (1e-2, 1e-4, 1e-3)}})  # fmt: skip
    assert not caveat(summarize(tmp_path, "known"), "tuned values")


def test_curves_that_still_rise_are_told(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.7, 0.7)}, rising=("up",))
    said = caveat(summarize(tmp_path, "known"), "curves still rising")
    assert "up in 3 of 3 (+0.040)" in said
    assert "base" not in said


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
    assert {a.arm: dict(a.changes) for a in found.arms} == {
        "base": {}, "up": {"method": "galore", "method.lr": 0.003},
    }  # fmt: skip


def test_trials_in_no_mean_are_counted(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)})
    for seed, status in enumerate(("failed", "pruned", "cancelled"), 3):
        write_trial(tmp_path, "known", f"up-s{seed}", 0.1, role="arm", arm="up", seed=seed,
                    status=status)  # fmt: skip
    found = summarize(tmp_path, "known")
    up = next(a for a in found.summary.arms if a.arm == "up")
    assert up.left_out == {"failed": 1, "pruned": 1, "cancelled": 1}
    assert (up.seeds, up.values["dice_macro"].n) == ((0, 1, 2), 3)
    assert found.trials == {"finished": 6, "failed": 1, "pruned": 1, "cancelled": 1}


def test_dirty_trials_are_apart_where_clean_ones_finished(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)})
    write_trial(tmp_path, "known", "up-s3", 0.1, role="arm", arm="up", seed=3, git_dirty=True)
    found = summarize(tmp_path, "known")
    up = next(a for a in found.summary.arms if a.arm == "up")
    assert (up.left_out, up.values["dice_macro"].n) == ({"dirty": 1}, 3)
    said = [b for b in banners(load(tmp_path, "known")) if "uncommitted" in b.text]
    assert [b.serious for b in said] == [False]
    assert "1 of them finished and are in no mean" in said[0].text


def test_dirty_trials_alone_are_averaged_and_told_loudly(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.7, 0.71), "up": (0.7, 0.7, 0.7)}, git_dirty=True)
    assert all(a.values["dice_macro"].n == 3 for a in summarize(tmp_path, "known").summary.arms)
    said = [b for b in banners(load(tmp_path, "known")) if "uncommitted" in b.text]
    assert [b.serious for b in said] == [True]
    assert "they are what is averaged here" in said[0].text


def test_default_protocol_and_native_size_are_shown_whatever_else_is_there(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7)})
    extra = [
        ("dice", "per_image", 4 * SIDE, "test"), ("dice", "a_first_by_name", SIDE, "test"),
        ("assd", "background_10mm", SIDE, "test"), ("assd", "stack3d", SIDE, "test"),
        ("assd", "per_class_px", SIDE, "test"), ("assd", "per_class_px", 4 * SIDE, "test"),
        ("assd", "mean_of_directed", SIDE, "test"), ("hd95", "max_of_directed", SIDE, "test"),
        ("hd95", "pooled", SIDE, "test"), ("nsd", "tolerance_1pct", 2 * SIDE, "external"),
    ]  # fmt: skip
    rows = [r for r in tables.read(tmp_path, "known", "scores").to_pylist()
            if r["trial_id"] == "base-s0"]  # fmt: skip
    rows += [
        {**rows[0], "epoch": EPOCHS - 1, "metric": metric, "protocol": protocol, **KINDS[metric],
         "resolution": f"{size}x{size}", "split": split, "value": 99.0}
        for metric, protocol, size, split in extra
    ]  # fmt: skip
    tables.write(tmp_path, "known", "scores", rows)
    found = load(tmp_path, "known")
    told = {m: choose(found, m, "test") for m in ("dice", "assd", "hd95", "nsd")}
    shown = {m: None if c is None else (c.protocol, c.resolution, c.unit) for m, c in told.items()}
    assert shown == {
        "dice": ("per_image", MASKS, ""),
        "assd": ("per_class_px", MASKS, "px"),
        "hd95": ("pooled", MASKS, "px"),
        "nsd": None,
    }
    outside = choose(found, "nsd", "external")
    assert outside is not None
    assert outside.resolution == f"{2 * SIDE}x{2 * SIDE}"  # the native size was not scored there


def test_a_search_answers_with_its_best_and_a_warning(tmp_path: Path) -> None:
    write_search(tmp_path)
    found = summarize(tmp_path, "rank")
    assert found.answer[0].startswith("The best of 8 finished trials is t")
    assert "only a repetition with new seeds on test can confirm it" in found.answer[-1]
    assert (found.comparisons, found.caveats, found.budget.sentences) == ((), (), ())


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    write_trial(tmp_path, "begun", "a-s0", 0.5, role="arm", arm="a", seed=0, status="running")
    assert summarize(tmp_path, "begun").answer == (
        "No trial has finished and been tested yet: there is no answer.",
    )


REPORTED = """
[[reported]]
method = "D2GPLand <b>"
metric = "dice"
value = 0.635
data = "L3D test"
source = "arXiv 2406.17858"
"""


def test_papers_numbers_stand_apart(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)})
    plain = summarize(tmp_path, "known")
    (tmp_path / "known" / "reported.toml").write_text(REPORTED)
    found = summarize(tmp_path, "known")
    assert [(r.method, r.value) for r in found.reported] == [("D2GPLand <b>", 0.635)]
    assert (found.summary, found.comparisons) == (plain.summary, plain.comparisons)
    page = build(tmp_path, ["known"], tmp_path / "r.html", tmp_path / "tables").read_text()
    assert "Reported, not reproduced" in page
    assert "D2GPLand &lt;b&gt;" in page
    assert "L3D test" in (tmp_path / "tables" / "known-reported.csv").read_text()


def test_faults_in_papers_numbers_are_told_at_once(tmp_path: Path) -> None:
    write_trial(tmp_path, "s", "a-s0", 0.5, role="arm", arm="a", seed=0)
    path = tmp_path / "s" / "reported.toml"
    path.write_text('[[reported]]\nmethod = ""\nvalue = "high"\nnote = "x"\n')
    with pytest.raises(ValueError, match="metric is missing") as caught:
        load(tmp_path, "s")
    told = str(caught.value)
    for fault in ("method must be text", "value must be a number", "note is unknown",
                  "source is missing", "data is missing", str(path)):  # fmt: skip
        assert fault in told
    path.write_text("reported = 3")
    with pytest.raises(ValueError, match="write each number as"):
        load(tmp_path, "s")
    path.write_text("not toml")
    with pytest.raises(ValueError, match="not TOML"):
        load(tmp_path, "s")


STEADY = {"base": (0.70, 0.71, 0.69, 0.70, 0.705), "up": (0.76, 0.77, 0.76, 0.765, 0.76)}


def rewrite_trials(storage: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    for row in tables.read(storage, "known", "trials").to_pylist():
        tables.write(storage, "known", "trials", [{**row, **change(row)}])


def test_no_verdict_where_arms_ran_on_different_data(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    assert verdicts(summarize(tmp_path, "known"))["up"] == "better"
    rewrite_trials(tmp_path, lambda r: {"data_hash": r["arm"] * 10})
    found = summarize(tmp_path, "known")
    [d] = found.comparisons[0].differences
    assert (d.p, d.p_seeds, d.p_patients, d.over_both) == (None, None, None, None)
    assert d.verdict.text == "cannot tell where they ran on different data"
    assert "different data: scores are not comparable" in caveat(found, "arms ran with different")
    assert "arms ran with different data" in found.answer[-1]


def test_unlike_budgets_reach_the_answer(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    longer = json.dumps({**NANO, "schedule": {"epochs": 60, "batch_size": 8}})
    rewrite_trials(tmp_path, lambda r: {"config": longer} if r["arm"] == "up" else {})
    found = summarize(tmp_path, "known")
    assert "epochs (6, 60)" in caveat(found, "arms did not have the same chances")
    assert "arms did not have the same chances" in found.answer[-1]


@pytest.mark.parametrize("patients", [1, 2])
def test_few_patients_are_an_objection(patients: int, tmp_path: Path) -> None:
    write_study(tmp_path, STEADY, patients=patients)
    found = summarize(tmp_path, "known")
    noun = "patient" if patients == 1 else "patients"
    assert verdicts(found)["up"] == f"cannot tell with scores of {patients} test {noun}"
    assert f"are of {patients} {noun}" in caveat(found, "too few test patients")


def test_both_counts_together_have_the_power(tmp_path: Path) -> None:
    """Each of 10 seeds and 34 patients would be enough, were the other without spread."""
    rng = np.random.default_rng(5)

    def spread(n: int, sd: float) -> NDArray[np.float64]:
        drawn = rng.normal(0, 1, n)
        scaled: NDArray[np.float64] = (drawn - drawn.mean()) / drawn.std(ddof=1) * sd
        return scaled

    seeds, patients = list(0.702 + spread(10, 0.0095)), list(spread(34, 0.0193))
    write_study(tmp_path, {"base": [0.7] * 10, "up": seeds}, patients=34,
                per_patient={"base": [0.0] * 34, "up": patients})  # fmt: skip
    found = summarize(tmp_path, "known")
    counts = {
        noun: int(caveat(found, f"too few {noun}s").split("it takes about ")[1].split()[0])
        for noun in ("seed", "test patient")
    }
    assert "if there are enough test patients as well" in caveat(found, "too few seeds")
    hits = []
    for _ in range(400):
        s, p = rng.normal(0, 0.0095, counts["seed"]), rng.normal(0, 0.0193, counts["test patient"])
        d = 0.01 + s.mean() + p.mean()
        both = over_both(d, d + s - s.mean(), d + p - p.mean())
        assert both is not None
        hits.append(both[1] < 0.05)
    assert np.mean(hits) > 0.75


def test_an_arm_that_was_told_needs_no_more_seeds(tmp_path: Path) -> None:
    noisy = {"base": (0.70, 0.74, 0.66, 0.70, 0.705), "up": (0.86, 0.86, 0.86, 0.865, 0.86)}
    write_study(tmp_path, noisy)
    found = summarize(tmp_path, "known")
    assert verdicts(found)["up"] == "better"
    assert not caveat(found, "too few")


def test_three_seeds_cannot_be_checked_one_by_one(tmp_path: Path) -> None:
    write_study(tmp_path, {arm: values[:3] for arm, values in STEADY.items()}, study="three")
    write_study(tmp_path, STEADY, study="five")
    assert "up: without one of 3 seeds" in caveat(summarize(tmp_path, "three"), "not checked")
    assert not caveat(summarize(tmp_path, "five"), "not checked")


@pytest.mark.parametrize(("others", "told"), [((0.9,) * 4, False), ((0.0001, 0.0002), True)])
def test_leaving_one_out_repeats_holms_correction(
    others: tuple[float, ...], told: bool, tmp_path: Path
) -> None:
    """p is 0.02 without the patient: times five arms too much, times one (the last step) not."""
    write_study(tmp_path, STEADY)
    [d] = summarize(tmp_path, "known").comparisons[0].differences
    estimate = Estimate(0.02, 0.001, 0.04, 5)
    before = replace(d, p=0.6, p_holm=1.0, over_both=estimate)
    p_values = {"up": 0.6, **{f"a{i}": p for i, p in enumerate(others)}}
    measure = Measure("dice", "per_image", MASKS)
    said = changed(before, (estimate, 0.02), "patient p0", measure, p_values)
    assert bool(said) == told
