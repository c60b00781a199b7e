"""The first screen: every arm in a line, whatever can be told of it."""

from pathlib import Path

import numpy as np
import pytest
from support.report_tables import DICE, STATE, write_trial
from support.report_values import markup
from support.studies.known_study import STEADY, rewrite_trials, write_study

from segtune.report import build, summarize
from segtune.report.evidence.differences.conclusions import conclusions
from segtune.report.evidence.overview import Overview
from segtune.report.page.look import looks
from segtune.report.parts.head.first_screen import SHOWN, first_screen
from segtune.results import tables

MANY = {"base": (0.70, 0.71, 0.69), **{f"a{i}": (0.68 + i / 250, 0.69, 0.68) for i in range(7)}}


def glance(storage: Path, study: str = "known") -> Overview:
    found = summarize(storage, study).overview
    assert found is not None
    return found


def test_every_arm_has_a_line_the_best_first(storage: Path) -> None:
    found = glance(storage, "methods")
    assert [line.arm for line in found.lines] == ["full", "srft_galore", "galore", "lora"]
    assert [line.verdict for line in found.lines] == ["", "cannot tell", "cannot tell", "worse"]
    for line in found.lines[1:]:
        assert line.difference is not None
        mean = np.mean(np.array(DICE[line.arm]) - np.array(DICE["full"]))
        assert line.difference.shown.mean == pytest.approx(mean)


def test_costs_are_ratios_within_each_seed(storage: Path) -> None:
    found = {line.arm: line for line in glance(storage, "methods").lines}
    assert found["full"].memory is None
    lora = found["lora"]
    assert lora.memory is not None
    held = {arm: 40e6 + 1.5 * STATE[arm] for arm in ("lora", "full")}
    assert lora.memory.mean == pytest.approx(held["lora"] / held["full"], rel=1e-3)
    assert lora.seconds is not None
    assert lora.seconds.mean == pytest.approx(0.36 / 0.48, rel=0.01)
    assert lora.trainable == pytest.approx(STATE["lora"] / 8e6)


def test_costs_on_other_devices_are_not_compared(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    rewrite_trials(tmp_path, lambda r: {"device": r["arm"]})
    line = glance(tmp_path).lines[1]
    assert (line.memory, line.seconds) == (None, None)
    rewrite_trials(tmp_path, lambda r: {"device": "NVIDIA H100"})
    again = glance(tmp_path)
    assert not again.on_cpu
    assert again.lines[1].memory is not None


def test_arms_without_a_pair_keep_their_line(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.71, 0.69), "up": (0.72, 0.72, 0.73)})
    write_trial(tmp_path, "known", "up-s7", 0.7, role="arm", arm="up", seed=7)
    rows = tables.read(tmp_path, "known", "trials").to_pylist()
    for row in rows:
        if row["arm"] == "up" and row["seed"] < 3:
            tables.write(tmp_path, "known", "trials", [{**row, "status": "failed"}])
    line = glance(tmp_path).lines[1]
    assert (line.arm, line.difference, line.verdict) == ("up", None, "no seed scored in both")


def test_many_arms_are_counted_drawn_and_not_named(tmp_path: Path) -> None:
    write_study(tmp_path, MANY)
    found = summarize(tmp_path, "known")
    assert not any("a5" in sentence for sentence in found.answer)
    assert "cannot be told from base" in found.answer[0]
    part = first_screen(found.overview, looks(list(MANY), "base"))
    assert part is not None
    assert part.sheet is not None
    assert (len(part.sheet.rows), part.sheet.shown) == (len(MANY), SHOWN)
    [(drawn, _)] = part.figures
    heights = [t.y[0] for t in drawn.data if t.error_x.array is not None]
    assert heights == sorted(heights, reverse=True)
    means = [t.x[0] for t in drawn.data if t.error_x.array is not None]
    assert means == sorted(means, reverse=True)
    assert [len(conclusions(c)) for c in found.comparisons] == [1]


def test_few_arms_need_no_forest(storage: Path) -> None:
    part = first_screen(glance(storage, "methods"), looks(list(DICE), "full"))
    assert part is not None
    assert part.figures == ()
    assert "73 % of studies" in part.caption


def test_long_names_are_folded_with_the_whole_in_a_hover(tmp_path: Path) -> None:
    long = "system.fusion.heads=4,method.rank=128,method=srft_galore<b>"
    write_study(tmp_path, {"base": STEADY["base"], long: STEADY["up"]})
    page = markup(build(tmp_path, ["known"], tmp_path / "r.html"))
    assert long not in page
    whole = long.replace("<b>", "&lt;b&gt;")
    assert f'<abbr title="{whole}">' in page
    assert f'<bdi title="{whole}">' in page
