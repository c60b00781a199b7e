"""The report, from tables written here: what it computes, and the page that shows it."""

import io
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from PIL import Image
from scipy import stats

from segtune import definition, table
from segtune.report import build
from segtune.report.cost import arm_costs
from segtune.report.curves import loss_curves, val_curves
from segtune.report.export import to_latex, to_markdown
from segtune.report.head import banners, facts, failures
from segtune.report.importance import MIN_TRIALS, importances
from segtune.report.load import StudyRows, load
from segtune.report.paired import compare, conclusions
from segtune.report.pictures import grid
from segtune.report.search import read_search
from segtune.report.sheets import Cell, Sheet
from segtune.report.spread import spreads
from segtune.report.summary import summarise
from segtune.report.tuning import candidates

CLASSES = {"ridge": (230, 75, 53), "silhouette": (0, 160, 135), "ligament": (60, 84, 200)}
METHOD = {"name": "galore", "side": "left"}
NANO = {"data": {"name": "synthetic_liver"}, "system": {"sam2": {"size": "nano"}}}
ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "galore": {"method": "galore", "method.rank": 4},
    "lora": {"method": "lora", "method.rank": 4},
    "srft_galore": {"method": "srft_galore", "method.rank": 4},
}
DICE = {
    "full": (0.700, 0.712, 0.706),
    "galore": (0.690, 0.703, 0.699),
    "lora": (0.641, 0.652, 0.650),
    "srft_galore": (0.704, 0.709, 0.711),
}
"""Macro Dice on test by seed."""
STATE = {"full": 84e6, "galore": 9.1e6, "lora": 2.2e6, "srft_galore": 8.7e6}
EPOCHS = 6
STEPS = 40
PATIENTS = 5
IMAGES = 15
SPACE = {
    "method.rank": IntDistribution(2, 64, log=True),
    "method.lr": FloatDistribution(1e-5, 1e-2, log=True),
    "method.side": CategoricalDistribution(("left", "right")),
    "system.fusion.width": IntDistribution(32, 128, step=32),
}
SIDE = 96
COMMON = {"git_commit": "0123456789abcdef", "git_dirty": False, "device": "cpu", "workers": 1}


def scores_of(value: float, split: str, epoch: int, n: int, farther: float) -> list[dict[str, Any]]:
    """Every metric of every class around a macro Dice; distances `farther` by some pixels."""
    rows = []
    offsets = {"ridge": -0.06, "silhouette": 0.09, "ligament": -0.03, "macro": 0.0, "pooled": 0.02}
    for name, offset in offsets.items():
        dice = value + offset
        numbers = {"dice": dice, "iou": dice / (2 - dice), "assd": 30 * (1 - dice) + farther}
        numbers["hd95"] = 2.5 * numbers["assd"]
        for metric, number in numbers.items():
            protocol = "per_image" if metric in ("dice", "iou") else "per_class_px"
            rows.append({"step": epoch * STEPS // EPOCHS, "epoch": epoch, "split": split,
                         "resolution": SIDE, "class_name": name, "metric": metric,
                         "protocol": protocol, "value": number, "n": n})  # fmt: skip
    return [*rows, {**rows[-4], "class_name": "pooled", "protocol": "stacked"}]


def images_of(value: float, split: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Scores per image; the ligament is not in every third image."""
    rows = []
    hardness = np.random.default_rng(0).normal(0, 0.08, IMAGES)
    for i, (name, metric) in itertools.product(
        range(IMAGES), itertools.product(CLASSES, ("dice", "assd"))
    ):
        dice = float(np.clip(value + hardness[i] + rng.normal(0, 0.04), 0, 1))
        absent = name == "ligament" and i % 3 == 0
        number = math.nan if absent else dice if metric == "dice" else 30 * (1 - dice)
        rows.append({"split": split, "resolution": SIDE, "sample_id": f"p{i % PATIENTS}-{i:02d}",
                     "patient_id": f"p{i % PATIENTS}", "class_name": name, "metric": metric,
                     "protocol": "per_image" if metric == "dice" else "per_class_px",
                     "value": number})  # fmt: skip
    return rows


def pictures_of(split: str, samples: int, shift: int) -> list[dict[str, Any]]:
    """Three bands over a shaded scene; a prediction is the truth, moved."""
    rows = []
    y, x = np.mgrid[:SIDE, :SIDE]
    for sample in range(samples):
        image = np.stack([120 + 60 * np.sin(x / 17 + sample), 60 + y / 2, 50 + x / 4], axis=2)
        for kind, moved in (("image", 0), ("truth", 0), ("prediction", shift)):
            labels = np.zeros((SIDE, SIDE, 3), np.uint8)
            for k, color in enumerate(CLASSES.values()):
                middle = 22 + 25 * k + 6 * np.sin(x / 12 + sample + k) + moved
                labels[np.abs(y - middle) < 5] = color
            drawn = image.astype(np.uint8) if kind == "image" else labels
            file = io.BytesIO()
            Image.fromarray(drawn).save(file, "PNG")
            rows.append({"split": split, "sample_id": f"p{sample}-0{sample}", "kind": kind,
                         "png": file.getvalue()})  # fmt: skip
    return rows


def steps_of(trial_id: str, state: float, pace: float) -> list[dict[str, Any]]:
    """Steps whose first is slow and of which every tenth refreshes."""
    rng = np.random.default_rng([*trial_id.encode()])
    refresh = "galore" in trial_id
    return [
        {"step": s, "epoch": 1 + (s - 1) * EPOCHS // STEPS, "lr": 1e-3,
         "loss": 1.2 * math.exp(-s / 25) + 0.3 / pace + rng.normal(0, 0.03),
         "seconds_data": 0.01, "seconds_forward": 0.1 * pace, "seconds_backward": 0.2 * pace,
         "seconds_optimizer": 0.05 + (5.0 if s == 1 else 0.0),
         "seconds_refresh": 0.04 if refresh and s % 10 == 0 else 0.0,
         "images_per_second": 8.0, "weights_bytes": 40_000_000,
         "gradient_bytes": int(state / 2), "optimizer_state_bytes": int(state),
         "peak_memory_bytes": int(9e8 + 2 * state)}
        for s in range(1, STEPS + 1)
    ]  # fmt: skip


def write_trial(storage: Path, study: str, trial_id: str, value: float, **row: Any) -> None:
    """All tables of one trial whose best epoch is the last but one."""
    status = row.pop("status", "finished")
    tested, pictured = row.pop("tested", True), row.pop("pictured", True)
    state, pace = row.pop("state", 10e6), row.pop("pace", 1.0)
    farther = row.pop("farther", 0.0)
    key = {"trial_id": trial_id, "attempt": 1}
    seed = int(row["seed"])
    start = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
    trial = {**key, **COMMON, "status": status, "versions": json.dumps({"torch": "2.15.0"}),
             "config": json.dumps({**NANO, "seed": seed, "method": METHOD}),
             "data_hash": "d" * 40, "weights_hash": "w" * 40, "epochs": EPOCHS,
             "trainable_parameters": int(state / 8), "total_parameters": 40_000_000,
             "best_epoch": EPOCHS - 1, "started": start, "ended": start.replace(hour=9),
             **row}  # fmt: skip
    table.write(storage, study, "trials", [trial])
    epochs = EPOCHS if status == "finished" else 2
    scores = [
        s
        for e in range(1, epochs + 1)
        for s in scores_of(value - 0.3 * math.exp(-e) - 0.004 * (e == EPOCHS), "val", e, 8, farther)
    ]
    if status == "finished":
        rng = np.random.default_rng([seed, *trial_id.encode()])
        images = images_of(value, "test" if tested else "val", rng)
        table.write(storage, study, "images", [{**key, **i} for i in images])
        if tested:
            scores += scores_of(value, "test", EPOCHS - 1, IMAGES, farther)
        if pictured:
            pictures = pictures_of("test" if tested else "val", 3, round(20 * (0.8 - value)))
            table.write(storage, study, "pictures", [{**key, **p} for p in pictures])
    table.write(storage, study, "scores", [{**key, **s} for s in scores])
    steps = steps_of(trial_id, state, pace)[: epochs * STEPS // EPOCHS]
    table.write(storage, study, "steps", [{**key, **s} for s in steps])


def write_ablation(storage: Path, study: str = "methods", seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Four arms, each with all seeds."""
    definition.write(storage, study, {
        "schema_version": 1, "study": study, "kind": "ablation",
        "question": "Does a low-rank projection of the gradient cost accuracy?",
        "baseline": {"method": "full"}, "baseline_arm": "full", "arms": ARMS,
        "seeds": list(seeds), "objectives": [{"metric": "dice", "direction": "maximize"},
                                             {"metric": "assd", "direction": "minimize"}],
        "tune": None,
    })  # fmt: skip
    for (arm, changes), seed in itertools.product(ARMS.items(), seeds):
        write_trial(storage, study, f"{arm}-s{seed}", DICE[arm][seed], role="arm", arm=arm,
                    seed=seed, changes=json.dumps(changes), state=STATE[arm],
                    pace=1.4 if arm == "full" else 1.0)  # fmt: skip


def write_search(storage: Path, study: str = "rank", trials: int = 10) -> None:
    """Random trials of which one failed and one was pruned; the rank decides the score."""
    definition.write(storage, study, {
        "schema_version": 1, "study": study, "kind": "search", "question": "Which rank?",
        "baseline": {"method.rank": 8, "method.side": "left"}, "num_samples": trials,
        "objectives": [{"metric": "dice", "direction": "maximize"},
                       {"metric": "assd", "direction": "minimize"}],
        "space": {f: distribution_to_json(d) for f, d in SPACE.items()},

    })  # fmt: skip
    rng = np.random.default_rng(3)
    for number in range(trials):
        rank = int(2 ** rng.integers(1, 7))
        changes = {"method.rank": rank, "method.lr": float(10 ** rng.uniform(-5, -2)),
                   "method.side": ("left", "right")[number % 2],
                   "system.fusion.width": int(32 * rng.integers(1, 5))}  # fmt: skip
        if number % 2 == 0:
            del changes["method.side"]  # as the baseline: the trial's config has it
        value = 0.55 + 0.03 * math.log2(rank) + float(rng.normal(0, 0.004))
        status = {3: "failed", 4: "pruned"}.get(number, "finished")
        error = "Traceback (most recent call last):\n  step\nRuntimeError: out of memory"
        write_trial(storage, study, f"t{number}", value, role="search", seed=number, number=number,
                    changes=json.dumps(changes), status=status, tested=False,
                    error=error if status == "failed" else None, state=1e6 * rank,
                    farther=float(rng.uniform(0, 6)))  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    write_ablation(folder)
    write_search(folder)
    return folder


@pytest.fixture(scope="module")
def methods(storage: Path) -> StudyRows:
    return load(storage, "methods")


@pytest.fixture(scope="module")
def page(storage: Path) -> Path:
    return build(storage, ["methods", "rank"], storage / "report.html", storage / "tables")


def test_summary_is_mean_and_t_interval_over_seeds(methods: StudyRows) -> None:
    summary = summarise(methods)
    assert [a.arm for a in summary.arms] == ["full", "galore", "lora", "srft_galore"]
    assert [a.is_baseline for a in summary.arms] == [True, False, False, False]
    assert [c.key for c in summary.columns] == [
        "dice_macro", "assd_macro", "iou_macro", "hd95_macro", "dice_pooled",
        "dice_ridge", "dice_silhouette", "dice_ligament",
    ]  # fmt: skip
    assert summary.columns[1].label == "ASSD (px)"
    for arm in summary.arms:
        dice = arm.values["dice_macro"]
        low, high = stats.t.interval(
            0.95, 2, loc=np.mean(DICE[arm.arm]), scale=stats.sem(DICE[arm.arm])
        )
        assert (dice.mean, dice.low, dice.high) == pytest.approx(
            (np.mean(DICE[arm.arm]), low, high)
        )
        assert arm.values["dice_ridge"].mean == pytest.approx(dice.mean - 0.06)
        assert (dice.n, arm.seeds, arm.planned) == (3, (0, 1, 2), 3)
    assert summary.arms[1].changes == "method=galore, method.rank=4"


def test_differences_are_paired_by_seed(methods: StudyRows) -> None:
    dice, assd = compare(methods)
    assert [d.arm for d in dice.differences] == ["galore", "lora", "srft_galore"]
    p_values = []
    for d in dice.differences:
        expected = stats.ttest_rel(DICE[d.arm], DICE["full"])
        limits = expected.confidence_interval(0.95)
        assert (d.over_seeds.low, d.over_seeds.high) == pytest.approx((limits.low, limits.high))
        assert d.p_seeds == pytest.approx(expected.pvalue)
        assert (d.seeds, d.over_seeds.n) == ((0, 1, 2), 3)
        assert d.p is not None
        assert d.p >= expected.pvalue
        p_values.append(d.p)
    assert sorted(p_values) == [p_values[1], p_values[0], p_values[2]]
    corrected = [2 * p_values[0], 3 * p_values[1], p_values[2]]  # from the smallest: x3, x2, x1
    assert [d.p_holm for d in dice.differences] == pytest.approx(corrected)
    assert assd.differences[0].over_seeds.mean == pytest.approx(
        -30 * dice.differences[0].over_seeds.mean
    )


def test_patients_are_drawn_whole_and_empty_masks_left_out(methods: StudyRows) -> None:
    lora = compare(methods)[0].differences[1]
    assert lora.over_patients is not None
    assert (lora.over_patients.patients, lora.over_patients.images) == (PATIENTS, IMAGES)
    images = methods.images
    dice = images[(images["metric"] == "dice") & (images["split"] == "test")]
    wide = dice.pivot_table(index=["class_name", "sample_id"], columns="trial_id", values="value")
    macro = {t: wide[t].groupby("class_name").mean().mean() for t in wide}
    expected = np.mean([macro[f"lora-s{s}"] - macro[f"full-s{s}"] for s in range(3)])
    assert lora.over_patients.mean == pytest.approx(expected)
    assert lora.over_patients.low < expected < lora.over_patients.high < 0


def test_conclusions_do_not_overclaim(methods: StudyRows, tmp_path: Path) -> None:
    said = " ".join(conclusions(compare(methods)[0]))
    assert "lora scored worse than full" in said
    assert "one cannot tell srft_galore from full with n = 3 seeds and 5 patients" in said
    assert "not evidence that there is no difference" in said
    write_ablation(tmp_path, seeds=(0,))
    alone = compare(load(tmp_path, "methods"))[0]
    assert {(d.over_seeds.low, d.p, d.p_holm) for d in alone.differences} == {(None, None, None)}
    assert "says nothing about" in " ".join(conclusions(alone))


def test_cost_leaves_out_the_first_step_and_spreads_the_refresh(methods: StudyRows) -> None:
    costs = {c.name: c for c in arm_costs(methods)}
    assert costs["full"].values["state"].mean == pytest.approx(84)
    assert costs["full"].values["peak"].mean == pytest.approx(900 + 2 * 84)
    assert costs["full"].values["seconds"].mean == pytest.approx(0.01 + 1.4 * 0.3 + 0.05)
    assert costs["galore"].parts["optimizer"].mean == pytest.approx(0.05)
    assert costs["galore"].parts["refresh"].mean == pytest.approx(0.04 * 4 / (STEPS - 1))
    assert costs["lora"].parts["refresh"].mean == 0


def test_curves_and_spread(methods: StudyRows) -> None:
    measure, val = val_curves(methods, "arm")
    assert measure is not None
    assert (len(val.lines), len(val.means)) == (12, 4)
    assert val.means[0].x == tuple(range(1, EPOCHS + 1))
    first = [line.y[0] for line in val.lines if line.arm == "full"]
    assert val.means[0].y[0] == pytest.approx(np.mean(first))
    assert all(len(line.x) == STEPS for line in loss_curves(methods, "arm").lines)
    _, found = spreads(methods)
    ligament = next(s for s in found if s.arm == "lora" and s.class_name == "ligament")
    assert (len(ligament.values), ligament.undefined) == (10, 5)


def test_pictures_compose(methods: StudyRows) -> None:
    found = grid(methods, [("full", "full-s0"), ("gone", "none"), ("lora", "lora-s0")])
    assert found is not None
    assert found.blocks[0].heads == ("image", "truth", "full", "lora")
    assert [(e.name, e.color) for e in found.legend] == [
        (name, f"rgb{color}") for name, color in CLASSES.items()
    ]
    cells = [cell for row in found.blocks[0].rows for cell in row]
    assert len(cells) == 3 * 4
    assert all(cell.src.startswith("data:image/png;base64,") for cell in cells)
    assert found.blocks[0].rows[0][2].note.startswith("Dice 0.")


def test_head_says_what_ran(methods: StudyRows, storage: Path) -> None:
    told = {f.name: f.value for f in facts(methods)}
    assert told["trials"] == "12: 12 finished"
    assert told["images"] == f"val 8, test {IMAGES} (of {PATIENTS} patients)"
    assert [b.text for b in banners(methods)] == [
        "Synthetic data, nano encoders: these numbers say nothing about the paper's results."
    ]
    rank = load(storage, "rank")
    assert any("1 pruned, 1 failed" in b.text for b in banners(rank))
    assert [(f.trial_id, f.status, f.epochs) for f in failures(rank)] == [
        ("t3", "failed", 2), ("t4", "pruned", 2),
    ]  # fmt: skip


def test_unlike_conditions_and_uncommitted_code_are_told(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    write_trial(tmp_path, "methods", "lora-s1", 0.6, role="arm", arm="lora", seed=1,
                device="NVIDIA H200")  # fmt: skip
    write_trial(tmp_path, "methods", "lora-s2", 0.6, role="arm", arm="lora", seed=2,
                git_dirty=True)  # fmt: skip
    said = [b.text for b in banners(load(tmp_path, "methods"))]
    assert any("2 different devices" in text for text in said)
    assert any("1 trial ran from a work tree with uncommitted changes" in text for text in said)


def test_real_data_and_encoders_carry_no_such_banner(tmp_path: Path) -> None:
    config = {"data": {"name": "l3d"}, "system": {"sam2": {"size": "hiera_large"}}}
    write_trial(tmp_path, "own", "lora-s0", 0.6, role="arm", arm="lora", seed=0,
                config=json.dumps(config))  # fmt: skip
    assert not any("nano" in b.text for b in banners(load(tmp_path, "own")))


def test_search_takes_values_at_the_best_epoch(storage: Path) -> None:
    search = read_search(load(storage, "rank"))
    assert [t.number for t in search.trials] == list(range(10))
    assert [t.status for t in search.trials[3:5]] == ["failed", "pruned"]
    assert search.trials[0].params["method.side"] == "left"
    assert {t.best_epoch for t in search.trials if t.status == "finished"} == {EPOCHS - 1}
    points = [(t.values[0] or 0.0, t.values[1] or 0.0, t.on_front) for t in search.complete]
    for dice, assd, on_front in points:
        beaten = any(d >= dice and a <= assd and (d, a) != (dice, assd) for d, a, _ in points)
        assert on_front == (not beaten)
    best = sorted((dice for dice, _, _ in points), reverse=True)[:3]
    assert [t.values[0] for t in search.best(3)] == best


def test_importance_needs_enough_trials(storage: Path, tmp_path: Path) -> None:
    found, why = importances(read_search(load(storage, "rank")))
    assert found == ()
    assert f"at least {MIN_TRIALS}" in why
    write_search(tmp_path, trials=MIN_TRIALS + 4)
    dice, assd = importances(read_search(load(tmp_path, "rank")))[0]
    assert (dice.metric, assd.metric, dice.n) == ("dice", "assd", MIN_TRIALS + 2)
    assert dice.shares[0][0] == "method.rank"
    assert sum(share for _, share in dice.shares) == pytest.approx(1)


def test_tuning_names_the_best_of_each_arm(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    for number, lr in enumerate((1e-3, 1e-4)):
        write_trial(tmp_path, "methods", f"lora-t{number}", 0.6 + 0.01 * number, role="tune",
                    arm="lora", seed=1000, number=number, tested=False,
                    changes=json.dumps({"method": "lora", "method.lr": lr}))  # fmt: skip
    _, found = candidates(load(tmp_path, "methods"))
    assert [(c.changes, c.chosen) for c in found] == [
        ("method=lora, method.lr=0.001", False), ("method=lora, method.lr=0.0001", True),
    ]  # fmt: skip
    page = build(tmp_path, ["methods"], tmp_path / "r.html")
    assert "full 0, galore 0, lora 2, srft_galore 0" in markup(page)


def markup(page: Path) -> str:
    """The page without what stands inside its scripts."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1", page.read_text(), flags=re.DOTALL)


def test_page_asks_no_address_and_holds_plotly_once(page: Path) -> None:
    html = page.read_text()
    assert html.count("plotly.js v") == 1
    assert "showSendToCloud: false" in html
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:|//)", markup(page))
    assert not re.findall(r"url\(|@import|https?://", markup(page))
    assert [p.name for p in page.parent.glob(".report*")] == []


def test_page_has_a_section_per_study(page: Path) -> None:
    html = markup(page)
    assert '<a href="#study-0">methods</a><a href="#study-1">rank</a>' in html
    for title in ("Scores on the test split", "Differences to the baseline", "Pareto front",
                  "Which setting matters", "How to read this"):  # fmt: skip
        assert title in html
    assert "RuntimeError: out of memory" in html
    assert "0.706" in html


def test_tables_are_written(page: Path) -> None:
    folder = page.parent / "tables"
    names = {p.name for p in folder.iterdir()}
    assert {"methods-summary.csv", "methods-paired.tex", "rank-summary.md"} <= names
    head, first = (folder / "methods-summary.csv").read_text().splitlines()[:2]
    assert head.startswith("arm,seeds,dice_macro_mean,dice_macro_low")
    assert float(first.split(",")[2]) == pytest.approx(np.mean(DICE["full"]))
    latex = (folder / "methods-summary.tex").read_text()
    assert "\\toprule" in latex
    assert "srft\\_galore & 3 of 3 & \\textbf{0.708 $\\pm$ 0.004}" in latex


def test_exported_words_are_escaped() -> None:
    sheet = Sheet("x", ("a_b",), ((Cell("5 % | \u2212{1}", left=True),),))
    assert "5 \\% | $-$\\{1\\} \\\\" in to_latex(sheet)
    assert "| 5 % \\| \u2212{1} |" in to_markdown(sheet)


def test_errors_and_names_cannot_break_the_page(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    write_trial(tmp_path, "methods", "bad-s0", 0.5, role="arm", arm="<b>bad</script>", seed=0,
                status="failed", error="<script>alert(1)</script>")  # fmt: skip
    html = build(tmp_path, ["methods"], tmp_path / "r.html").read_text()
    assert "<script>alert" not in html
    assert "bad</script>" not in html


def no_pictures(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "pictures")


def no_images(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "images")


def no_steps(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "steps")


def no_scores(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "scores")


def no_definition(storage: Path) -> None:
    (storage / "methods" / "study.json").unlink()


def only_trials(storage: Path) -> None:
    for name in ("pictures", "images", "steps", "scores"):
        shutil.rmtree(storage / "methods" / "tables" / name)


def baseline_is_missing(storage: Path) -> None:
    for file in (storage / "methods" / "tables").glob("*/full-*"):
        file.unlink()


def nothing_tested(storage: Path) -> None:
    for arm in ARMS:
        write_trial(storage, "methods", f"{arm}-s0", 0.5, role="arm", arm=arm, seed=0,
                    status="running", best_epoch=None, ended=None, device=None, versions=None,
                    data_hash=None, trainable_parameters=None)  # fmt: skip
    no_pictures(storage)
    no_images(storage)


def scores_are_nan(storage: Path) -> None:
    names: tuple[table.TableName, ...] = ("scores", "images")
    for name in names:
        for file in (storage / "methods" / "tables" / name).iterdir():
            rows = pq.read_table(file).to_pylist()
            table.write(storage, "methods", name, [{**r, "value": math.nan} for r in rows])


DAMAGES = (no_pictures, no_images, no_steps, no_scores, no_definition, only_trials,
           baseline_is_missing, nothing_tested, scores_are_nan)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_partial_tables_say_what_is_missing(damage: Any, tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    damage(tmp_path)
    html = markup(build(tmp_path, ["methods"], tmp_path / "r.html", tmp_path / "tables"))
    assert 'class="missing"' in html or damage is no_definition
    assert ">nan<" not in html


@pytest.mark.parametrize("trials", [1, 4])
def test_a_search_that_has_just_begun(trials: int, tmp_path: Path) -> None:
    write_search(tmp_path, trials=trials)
    (tmp_path / "rank" / "tables" / "pictures").joinpath("t0-a1.parquet").unlink()
    assert 'class="missing"' in markup(build(tmp_path, ["rank"], tmp_path / "r.html"))


def test_unknown_studies_are_refused_with_those_that_are_there(storage: Path) -> None:
    with pytest.raises(ValueError, match="methods, rank"):
        build(storage, ["method"], storage / "x.html")
    with pytest.raises(ValueError, match="at least one study"):
        build(storage, [], storage / "x.html")
    assert not (storage / "x.html").exists()


def test_the_same_tables_give_the_same_page(page: Path) -> None:
    again = build(page.parent, ["methods", "rank"], page.with_name("again.html"))
    assert again.read_bytes() == page.read_bytes()


def test_report_loads_neither_torch_nor_ray_nor_segcore() -> None:
    code = "import json, sys, segtune.report; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "ray", "segcore", "srft_galore", "search_spaces"}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_draws_every_figure(page: Path) -> None:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={profile}", "--window-size=1200,3000", "--virtual-time-budget=8000",
             "--dump-dom", page.as_uri()],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    figures = page.read_text().count("data-plot=")
    drawn = re.findall(r'<div class="plot js-plotly-plot"', done.stdout)
    assert len(drawn) == figures > 8
    assert done.stdout.count('class="main-svg"') >= figures
