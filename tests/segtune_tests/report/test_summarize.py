"""What `summarize` says of a study: answers, counts, papers' numbers, the measures shown."""

import json
from pathlib import Path

import pytest
from support.report_tables import EPOCHS, LARGER_MASKS, MASKS, SIDE, write_search, write_trial
from support.report_values import scores
from support.score_kinds import KINDS
from support.studies.known_study import STEADY, write_study

from segtune.report import build, summarize
from segtune.report.parts.head.ran import banners
from segtune.report.parts.notes import notes
from segtune.results import tables
from segtune.results.study_rows import load
from segtune.results.study_scores import StudyScores


def test_a_lead_that_is_not_shown_has_no_price(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.71, 0.69), "same": (0.71, 0.70, 0.70)})
    assert not any(" trains " in sentence for sentence in summarize(tmp_path, "known").answer)


def test_a_difference_that_is_shown_may_be_small(tmp_path: Path) -> None:
    up, far = ((b + 0.004 for b in STEADY["base"]), (b + 0.06 for b in STEADY["base"]))
    write_study(tmp_path, {"base": STEADY["base"], "up": tuple(up)}, study="one")
    assert "better than base, but by less than 0.01." in summarize(tmp_path, "one").answer[0]
    arms = {"base": STEADY["base"], "far": tuple(far), "up": (0.704, 0.714, 0.694, 0.704, 0.709)}
    write_study(tmp_path, arms, study="two")
    assert "are better than base, up by less than 0.01." in summarize(tmp_path, "two").answer[0]


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
        ("assd", "mean_of_directed", SIDE, "test"), ("hd95", "pooled", SIDE, "test"),
        ("hd95", "max_of_directed", SIDE, "test"), ("nsd", "tolerance_1pct", 2 * SIDE, "external"),
    ]  # fmt: skip
    rows = [r for r in tables.read(tmp_path, "known", "scores").to_pylist()
            if r["trial_id"] == "base-s0"]  # fmt: skip
    rows += [
        {**rows[0], "epoch": EPOCHS - 1, "metric": metric, "protocol": protocol, **KINDS[metric],
         "resolution": f"{size}x{size}", "split": split, "value": 99.0}
        for metric, protocol, size, split in extra
    ]  # fmt: skip
    tables.write(tmp_path, "known", "scores", rows)
    found = scores(tmp_path, "known")
    told = {m: found.measure(m, "test") for m in ("dice", "assd", "hd95", "nsd")}
    shown = {m: None if c is None else (c.protocol, c.resolution, c.unit) for m, c in told.items()}
    assert shown == {
        "dice": ("per_image", MASKS, ""),
        "assd": ("per_class_px", MASKS, "px"),
        "hd95": ("max_of_directed", MASKS, "px"),
        "nsd": None,
    }
    outside = found.measure("nsd", "external")
    assert outside is not None
    assert outside.resolution == LARGER_MASKS  # the native size was not scored there


def test_what_test_alone_has_is_shown_where_the_study_says_so(tmp_path: Path) -> None:
    kind = {"direction": "maximize", "unit": "fraction", "label": "clDice"}
    told = {**kind, "about": "Of lines.", "protocol": "per_image", "shown": True}
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7)}, defined={"scores_at_test": {"cl_dice": told}})
    [row] = [r for r in tables.read(tmp_path, "known", "scores").to_pylist()
             if r["trial_id"] == "base-s0" and r["split"] == "test"]  # fmt: skip
    tables.write(tmp_path, "known", "scores", [row, {**row, "metric": "cl_dice", **kind}])
    found = scores(tmp_path, "known")
    assert [m.metric for m in found.measures("test")] == ["dice", "cl_dice"]
    assert [m.metric for m in found.measures("val")] == ["dice"]
    assert found.measures("test")[1].definition == "Of lines."


def test_the_notes_say_whose_pixels_distances_are_in(methods: StudyScores, tmp_path: Path) -> None:
    told = dict(notes(methods))
    assert "image_px" in told["Distances and the shape of the masks"]
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7)})  # of Dice alone
    alone = scores(tmp_path, "known")
    assert {m.unit for m in alone.measures("test")} == {""}
    assert "Distances and the shape of the masks" not in dict(notes(alone))


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


def test_a_study_names_papers_numbers_itself(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)})
    path = tmp_path / "known" / "study.json"
    own = {"method": "LoRA", "metric": "Dice", "value": 0.8361, "data": "here", "source": "a paper"}
    definition = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**definition, "reported": [own]}))
    (tmp_path / "known" / "reported.toml").write_text(REPORTED)
    found = summarize(tmp_path, "known").reported
    assert [r.method for r in found] == ["LoRA", "D2GPLand <b>"]
    assert found[0].value == 0.8361


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
