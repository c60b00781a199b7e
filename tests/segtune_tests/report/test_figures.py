"""What the figures show (their data, not their pixels), and colours that everybody can tell."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from support.report_tables import (
    ARMS,
    DICE,
    EPOCHS,
    IMAGES,
    LARGER_MASKS,
    MASKS,
    SIDE,
    STEPS,
    write_ablation,
    write_trial,
)
from support.score_kinds import KINDS

from segtune.report import figures, figures_differences, figures_tradeoff, figures_training
from segtune.report.agreement import agreements
from segtune.report.cost import step_costs
from segtune.report.curves import learning_curves
from segtune.report.factors import factors
from segtune.report.heat import rank_by_interval
from segtune.report.paired import compare
from segtune.report.perclass import class_scores
from segtune.report.pictures import CONFUSED, FALSE, MISSED, choose_samples, errors
from segtune.report.shift import shifts
from segtune.report.stats import Estimate
from segtune.report.style import (
    BASELINE_COLOR,
    COLORS,
    DARK,
    LIGHT,
    LONGEST_NAME,
    PART_COLORS,
    Look,
    looks,
    name,
    plain,
)
from segtune.report.text import MISSING
from segtune.report.tradeoff import Panel, Point, tradeoff
from segtune.results import study_file, tables
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows, load

VISION = {
    "as most see": np.eye(3),
    "no long cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                      [-0.003882, -0.048116, 1.051998]],
    "no middle cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]],
    "no short cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                       [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Linear RGB as seen with all cones, or without one kind: Machado et al., IEEE TVCG 15 (2009)."""
LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
       [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
LAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
       [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
"""Oklab, in which equal distances look equally different (Ottosson, 2020)."""
JUST_NOTICEABLE = 0.02


def linear(color: str) -> NDArray[np.float64]:
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """As WCAG defines it."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_arms_look_different_to_colour_blind_readers(vision: str) -> None:
    def seen(color: str) -> NDArray[np.float64]:
        rgb = np.clip(np.array(VISION[vision]) @ linear(color), 0, 1)
        return np.asarray(np.array(LAB) @ np.cbrt(np.array(LMS) @ rgb))

    for a, b in itertools.combinations((BASELINE_COLOR, *COLORS), 2):
        assert np.linalg.norm(seen(a) - seen(b)) > 2 * JUST_NOTICEABLE, (a, b)


@pytest.mark.parametrize("color", [BASELINE_COLOR, *COLORS, *PART_COLORS.values()])
def test_marks_stand_out_on_both_pages(color: str) -> None:
    """3:1 is what WCAG 2.2 asks of graphics (1.4.11), 4.5:1 of text."""
    assert contrast(color, LIGHT["paper"]) >= 3
    assert contrast(color, DARK["paper"]) >= 3
    assert min(contrast(t["ink"], t["paper"]) for t in (LIGHT, DARK)) >= 4.5


def test_more_arms_than_colours_differ_by_symbol_and_dash() -> None:
    arms = [f"arm{i}" for i in range(30)]
    found = looks(arms, "arm0")
    assert len(set(found.values())) == 30
    assert looks(arms[:3], "arm0").items() <= found.items()
    assert set(PART_COLORS.values()).isdisjoint(look.color for look in found.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("50% of %{x} & more", "50&#37; of &#37;{x} &amp; more"),
        ("a\u202egnp.exe\nb", "a gnp.exe b"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u2068\u05e9\u05dc\u05d5\u05dd\u2069"),
        ("\U0001f52c rank 4", "\U0001f52c rank 4"),
    ],
)
def test_names_from_outside_are_no_markup(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_long_names_keep_both_ends() -> None:
    shown = name("srft_galore-" + "x" * 300 + "-rank4")
    assert len(shown) == LONGEST_NAME
    assert shown.startswith("srft_galore-")
    assert shown.endswith("-rank4")


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> StudyRows:
    """With a second domain and a second size of mask."""
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
    return load(folder, "methods")


def lines(drawn: Any, group: str) -> list[Any]:
    return [t for t in drawn.data if t.legendgroup == group and t.mode and "lines" in t.mode]


def test_learning_curves_by_steps_seconds_and_images(methods: StudyRows) -> None:
    measure, found = learning_curves(methods)
    assert measure is not None
    full, galore = found["seconds"][:2]
    assert (full.arm, full.n, len(full.x)) == ("full", 3, EPOCHS)
    per_step = 0.01 + 1.4 * 0.3 + 0.05
    assert full.x[-1] == pytest.approx(STEPS * per_step + 5.0)  # the first step is slow
    assert found["images"][1].x[-1] == pytest.approx(8.0 * galore.x[-1])
    assert found["step"][0].x == tuple(float(e * STEPS // EPOCHS) for e in range(1, EPOCHS + 1))
    last = [DICE["full"][s] - 0.3 * math.exp(-EPOCHS) - 0.004 for s in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(last), scale=stats.sem(last))
    assert (full.y[-1].low, full.y[-1].high) == pytest.approx((low, high))
    drawn = figures_training.learning_figure(
        found["step"], looks(methods.arms, methods.baseline), "step", measure, "full"
    )
    band, line = [t for t in drawn.data if t.legendgroup == "full"]
    assert band.fill == "toself"
    assert max(band.y) == pytest.approx(max(e.high or 0 for e in found["step"][0].y))
    assert line.line.color == BASELINE_COLOR
    assert "n=3" in line.hovertemplate
    assert "[" in line.text[0]


def test_a_failed_trial_does_not_end_its_arms_curve(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0, 1))
    write_trial(tmp_path, "methods", "lora-s1", 0.6, role="arm", arm="lora", seed=1,
                status="failed")  # fmt: skip
    _, found = learning_curves(load(tmp_path, "methods"))
    lora = next(m for m in found["step"] if m.arm == "lora")
    assert (lora.n, len(lora.x)) == (1, EPOCHS)


def test_forest_plots_show_what_was_compared(methods: StudyRows) -> None:
    colors = looks(methods.arms, methods.baseline)
    for comparison in compare(methods):
        drawn = figures_differences.forest(comparison, colors)
        shown = {round(float(t.x[0]), 9) for t in drawn.data}
        for d in comparison.differences:
            assert round(d.shown.mean, 9) in shown
            assert d.over_patients is not None
            assert round(d.over_patients.mean, 9) in shown
        assert all("n=" in t.hovertemplate or "over" in t.hovertemplate for t in drawn.data)
        assert all("[" in t.hovertemplate for t in drawn.data)


def test_classes_in_dice_and_assd(methods: StudyRows) -> None:
    dice, assd = class_scores(methods)
    ridge = next(s for s in dice.scores if (s.arm, s.class_name) == ("lora", "ridge"))
    assert ridge.estimate is not None
    assert ridge.estimate.mean == pytest.approx(np.mean(DICE["lora"]) - 0.06)
    drawn = figures.class_figure(assd, looks(methods.arms, methods.baseline))
    assert len(drawn.data) == len(ARMS) * 3
    assert "lower is better" in drawn.layout.yaxis.title.text


def test_refreshes_stand_out_and_survive_thinning(methods: StudyRows) -> None:
    found = {c.arm: c for c in step_costs(methods)}
    assert set(found) == {"galore", "srft_galore"}
    galore = found["galore"]
    assert (galore.every, galore.median, galore.slowest) == pytest.approx((10, 0.05, 0.09))
    assert [s for s, y in zip(galore.steps, galore.seconds, strict=True) if y > 0.06] == [
        10, 20, 30, 40,
    ]  # fmt: skip


def test_shifts_are_paired_by_seed_and_sizes_stay_apart(methods: StudyRows) -> None:
    (found,) = shifts(methods)
    assert found.measure.resolution == MASKS
    lora = next(d for d in found.domains if d.arm == "lora")
    assert lora.change.mean == pytest.approx(-0.2)
    assert (lora.change.low, lora.change.high) == pytest.approx((-0.2, -0.2))
    sizes = next(s for s in found.sizes if s.arm == "lora")
    assert sizes.sizes == (SIDE, 2 * SIDE)
    assert sizes.scores[0].mean - sizes.scores[1].mean == pytest.approx(0.01)
    drawn = figures_differences.size_figure(found, looks(methods.arms, methods.baseline))
    assert drawn.data[2].x == (SIDE, 2 * SIDE)


def test_image_by_image_is_the_mean_over_classes_and_seeds(methods: StudyRows) -> None:
    measure, found = agreements(methods)
    assert measure is not None
    lora = next(a for a in found if a.arm == "lora")
    assert (lora.baseline, len(lora.of_arm)) == ("full", IMAGES)
    images = methods.images[
        (methods.images["metric"] == "dice") & (methods.images["sample_id"] == "p0-00")
    ]
    of_lora = images[images["trial_id"].str.startswith("lora")]
    expected = of_lora.groupby("trial_id")["value"].mean().mean()  # without the absent ligament
    assert lora.of_arm[lora.sample_ids.index("p0-00")] == pytest.approx(expected)
    assert lora.wins < IMAGES / 2
    marks = figures.agreement_figure(lora, Look("#006cb4", "circle"), measure).data[1]
    assert (marks.x, marks.y) == (lora.of_baseline, lora.of_arm)


def test_factors_say_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    arms = {"no_depth": {"depth": False}, "lora": {"method": "lora", "method.rank": 4}}
    study_file.write(tmp_path, "x", {
        "schema_version": 2, "study": "x", "kind": "ablation", "baseline_arm": "base",
        "baseline": {"depth": True, "method": "frozen"}, "arms": arms,
    })  # fmt: skip
    write_trial(tmp_path, "x", "base-s0", 0.5, role="arm", arm="base", seed=0,
                config=json.dumps({"depth": True, "method": {"name": "frozen"}}))  # fmt: skip
    found = factors(load(tmp_path, "x"))
    assert found.fields == ("depth", "method", "method.rank")
    assert [(level.value, level.changed) for level in found.levels["no_depth"]][0] == (False, True)
    assert [level.changed for level in found.levels["base"]] == [False, False, False]
    assert found.levels["base"][2].value is MISSING
    assert [level.value for level in found.levels["lora"]] == [True, "lora", 4]


def test_rank_by_interval_means_per_cell(tmp_path: Path) -> None:
    for k, (rank, gap) in enumerate(itertools.product((4, 8), (10, 50))):
        for seed in (0, 1):
            write_trial(tmp_path, "x", f"a{k}-s{seed}", 0.5 + 0.01 * k + 0.1 * seed, role="arm",
                        arm=f"a{k}", seed=seed, pictured=False,
                        changes=json.dumps({"method.rank": rank,
                                            "method.update_proj_gap": gap}))  # fmt: skip
    found = rank_by_interval(load(tmp_path, "x"), "arm")
    assert found is not None
    assert (found.ranks, found.intervals) == (("4", "8"), ("10", "50"))
    assert [v for row in found.mean for v in row] == pytest.approx([0.55, 0.57, 0.56, 0.58])
    assert found.n == ((2, 2), (2, 2))
    assert "n=2" in figures.heat_figure(found).data[0].text[0][0]


def test_nothing_dominates_the_front() -> None:
    def at(value: float) -> Estimate:
        return Estimate(value, None, None, 1)

    points = {"cheap": (1, 0.5), "good": (5, 0.8), "beaten": (6, 0.7), "dear": (9, 0.8)}
    panel = Panel(
        "peak",
        tuple(Point(n, at(x), at(y), "") for n, (x, y) in points.items()),
        (True, True, False, False),
    )
    drawn = figures_tradeoff.tradeoff_figure(panel, {}, (), "Dice", fraction=True)
    assert drawn.data[0].x == (1, 5)
    from segtune.report.cost import Cost

    costs = [Cost(n, False, 1, {"peak": at(x)}, {}) for n, (x, _) in points.items()]
    (found,) = tradeoff({n: at(y) for n, (_, y) in points.items()}, costs, {})
    assert found.front == panel.front


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


def test_a_measure_in_pixels_says_so() -> None:
    assert Measure("assd", "per_class_px", "96x96", "minimize", "px", "ASSD").label == "ASSD (px)"
