"""The report, from tables written here: what it computes, and the page that shows it."""

import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from optuna.distributions import distribution_to_json
from scipy import stats
from support.report_tables import (
    ARMS,
    CLASSES,
    DICE,
    EPOCHS,
    IMAGES,
    PATIENTS,
    SPACE,
    STEPS,
    write_ablation,
    write_search,
    write_trial,
)
from support.score_kinds import KINDS

from segtune.report import build
from segtune.report.cost import arm_costs
from segtune.report.curves import loss_curves, val_curves
from segtune.report.export import to_latex, to_markdown
from segtune.report.head import banners, facts
from segtune.report.importance import MIN_TRIALS, importances
from segtune.report.paired import compare, conclusions
from segtune.report.pictures import grid
from segtune.report.search import read_search
from segtune.report.sheet import Cell, Sheet
from segtune.report.spread import spreads
from segtune.report.stopped import failures
from segtune.report.summary import summarise
from segtune.report.tuning import candidates
from segtune.results import study_file, tables
from segtune.results.study_rows import StudyRows, load


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
    assert "one cannot tell srft_galore from full with n = 3 seeds and 6 patients" in said
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
    assert val.means[0].y[0].mean == pytest.approx(np.mean(first))
    assert all(len(line.x) == STEPS for line in loss_curves(methods, "arm").lines)
    _, found = spreads(methods)
    ligament = next(s for s in found if s.arm == "lora" and s.class_name == "ligament")
    assert (len(ligament.values), ligament.undefined) == (12, 6)


def test_pictures_compose(methods: StudyRows) -> None:
    found = grid(methods, [("full", "full-s0"), ("gone", "none"), ("lora", "lora-s0")])
    assert found is not None
    assert found.blocks[0].heads == ("image, truth", "full", "lora")
    assert [(e.name, e.color) for e in found.legend[: len(CLASSES)]] == [
        (name, f"rgb{color}") for name, color in CLASSES.items()
    ]
    rows = found.blocks[0].rows
    assert [row.label.partition(":")[0] for row in rows] == [
        "best pictured", "pictured nearest to the median", "worst pictured",
    ]  # fmt: skip
    cells = [cell for row in rows for cell in row.cells]
    assert len(cells) == 3 * 3
    assert all(c.above.startswith("data:image/webp;base64,") for c in cells)
    assert all(c.below.startswith("data:image/webp;base64,") for c in cells)
    assert rows[0].cells[1].note.startswith("Dice 0.")


def test_head_says_what_ran(methods: StudyRows, storage: Path) -> None:
    told = {f.name: f.value for f in facts(methods)}
    assert told["commands"] == "segtune run mine.py --set data.root='my data'"
    assert told["trials"] == "12: 12 finished"
    assert told["images"] == f"val 8, test {IMAGES} (of {PATIENTS} patients)"
    assert [b.text for b in banners(methods)] == [
        "Synthetic data, nano encoders: these numbers say nothing about the paper's results."
    ]
    rank = load(storage, "rank")
    assert any("1 pruned, 1 failed" in b.text for b in banners(rank))
    assert [(f.trial_id, f.status, f.epochs) for f in failures(rank)] == [("t3", "failed", 2)]


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
    found, _ = importances(read_search(load(tmp_path, "rank")))
    assert [(i.metric, i.method, i.n) for i in found] == [
        (metric, method, MIN_TRIALS + 2)
        for metric in ("dice", "assd")
        for method in ("PED-ANOVA", "fANOVA")
    ]
    for importance in found[:2]:  # the rank decides Dice, and half of ASSD
        assert importance.shares[0][0] == "method.rank"
    for importance in found:
        assert sum(share for _, share in importance.shares) == pytest.approx(1)


def test_importance_explains_good_trials_whichever_way_is_good(tmp_path: Path) -> None:
    """PED-ANOVA asks what reaches low values: of Dice it must be handed the negative.

    The best trials share a rank and any rate, the worst share a rate and any rank: whoever asks
    about the wrong end finds the rate.
    """
    study_file.write(tmp_path, "x", {
        "schema_version": 2, "study": "x", "kind": "search", "num_samples": 60, "baseline": {},
        "objectives": [{"metric": "dice", "direction": "maximize"}],
        "space": {f: distribution_to_json(SPACE[f]) for f in ("method.rank", "method.lr")},
    })  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(60):
        rank, rate = int(rng.integers(2, 65)), float(10 ** rng.uniform(-5, -2))
        good, bad = rank > 48, rate > 10**-2.75
        value = (0.9 if good else 0.3 if bad else 0.6) + 0.001 * number / 60
        tables.write(tmp_path, "x", "trials", [{
            "trial_id": f"t{number}", "attempt": 1, "role": "search", "seed": 0, "number": number,
            "status": "finished", "best_epoch": 1, "config": "{}",
            "changes": json.dumps({"method.rank": rank, "method.lr": rate}),
        }])  # fmt: skip
        tables.write(tmp_path, "x", "scores", [{
            "trial_id": f"t{number}", "attempt": 1, "step": 1, "epoch": 1, "split": "val",
            "resolution": "96x96", "class_name": "macro", "metric": "dice", "protocol": "per_image",
            **KINDS["dice"],
            "value": value, "n": 4,
        }])  # fmt: skip
    (ped_anova, _), _ = importances(read_search(load(tmp_path, "x")))
    assert ped_anova.shares[0][0] == "method.rank"


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
    assert '<a href="#study-0"><bdi>methods</bdi></a><a href="#study-1"><bdi>rank</bdi></a>' in html
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


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "%{x}<b>&amp;",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "\U0001f9ea\U0001f52c",
    "long-" + "x" * 400,
)


def test_names_and_errors_from_outside_are_text_and_nothing_else(tmp_path: Path) -> None:
    """As the study's question, its arms, an error and a class; a study's name is a folder's."""
    arms = {name: {"method": name} for name in HOSTILE}
    study = "a<b>&amp; \u05e9\u05dc\u05d5\u05dd"
    study_file.write(tmp_path, study, {
        "schema_version": 2, "study": study, "kind": "ablation", "question": HOSTILE[0],
        "baseline": {"method": "full"}, "baseline_arm": "full", "arms": arms, "seeds": [0, 1],
    })  # fmt: skip
    for number, (arm, seed) in enumerate(itertools.product(["full", *arms], (0, 1))):
        write_trial(tmp_path, study, f"a{number}", 0.5 + 0.01 * number, role="arm", arm=arm,
                    seed=seed, changes=json.dumps(arms.get(arm, {})))  # fmt: skip
    write_trial(tmp_path, study, "bad", 0.5, role="arm", arm=HOSTILE[0], seed=2, status="failed",
                error="\n".join(HOSTILE))  # fmt: skip
    page = build(tmp_path, [study], tmp_path / "r.html", tmp_path / "tables")
    html, shown = page.read_text(), markup(page)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in shown
    specs = re.findall(r'data-plot="[^"]*">(.*?)</script>', html)
    assert len(specs) > 10
    for spec in map(json.loads, specs):
        said = strings({**spec, "layout": {**spec["layout"], "meta": None}})
        assert not [t for t in said if "<script" in t or "<img" in t or "%{x}<b>" in t]


def strings(value: Any, key: str = "") -> Iterator[str]:
    """What plotly would show: groups are names for the page's own script, and never shown."""
    if isinstance(value, str) and key not in ("legendgroup", "offsetgroup"):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


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


def a_class_was_never_there(storage: Path) -> None:
    """Its name is known, and no image defines it."""
    names: tuple[tables.TableName, ...] = ("scores", "images")
    for name in names:
        for file in (storage / "methods" / "tables" / name).iterdir():
            rows = pq.read_table(file).to_pylist()
            lost = [{**r, "value": math.nan} if r["class_name"] == "ligament" else r for r in rows]
            tables.write(storage, "methods", name, lost)


def only_one_trial(storage: Path) -> None:
    for file in (storage / "methods" / "tables").glob("*/*.parquet"):
        if not file.name.startswith("lora-"):
            file.unlink()


def none_finished(storage: Path) -> None:
    for arm in ARMS:
        write_trial(storage, "methods", f"{arm}-s0", 0.5, role="arm", arm=arm, seed=0,
                    status="failed", best_epoch=None, error="RuntimeError: no")  # fmt: skip
    no_pictures(storage)
    no_images(storage)


def scores_are_nan(storage: Path) -> None:
    names: tuple[tables.TableName, ...] = ("scores", "images")
    for name in names:
        for file in (storage / "methods" / "tables" / name).iterdir():
            rows = pq.read_table(file).to_pylist()
            tables.write(storage, "methods", name, [{**r, "value": math.nan} for r in rows])


DAMAGES = (no_pictures, no_images, no_steps, no_scores, no_definition, only_trials,
           baseline_is_missing, nothing_tested, scores_are_nan, a_class_was_never_there,
           only_one_trial, none_finished)  # fmt: skip


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
