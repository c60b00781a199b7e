"""Several studies on one page: compared where that is fair, refused with what differs where not."""

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from support.report_tables import (
    DICE,
    EPOCHS,
    LARGER_MASKS,
    SIDE,
    write_ablation,
    write_search,
    write_trial,
)
from support.report_values import scores

from segtune.cli import main
from segtune.report import build
from segtune.report.build import comparison_section
from segtune.report.page.look import looks
from segtune.report.summarize import findings
from segtune.report.together import (
    UnfairError,
    comparable,
    looks_within,
    shared_protocol,
    together,
    unfair,
)
from segtune.results import study_file, tables
from segtune.results.study_rows import StudyRows

CONFIG: dict[str, Any] = {
    "data": {"name": "synthetic_liver", "size": 96},
    "schedule": {"epochs": EPOCHS, "batch_size": 8},
    "system": {"rgb": {"size": "nano"}},
}


def write(
    storage: Path,
    study: str,
    arms: Sequence[str],
    *,
    changed: Mapping[str, Any] | None = None,
    tries: int = 0,
    **row: Any,
) -> None:
    """Arms with three seeds; `changed` is laid over the configuration."""
    study_file.write(storage, study, {
        "study": study, "kind": "ablation", "question": "?", "baseline": {},
        "baseline_arm": arms[0], "arms": {a: {} for a in arms}, "seeds": [0, 1, 2],
        "tune": {a: {"method.lr": list(range(tries))} for a in arms} if tries else {},
    })  # fmt: skip
    common = {"pictured": False, **row}
    for arm, seed in itertools.product(arms, range(3)):
        config = {**CONFIG, "method": {"name": arm}, "seed": seed, **(changed or {})}
        write_trial(storage, study, f"{arm}-s{seed}", DICE[arm][seed], role="arm", arm=arm,
                    seed=seed, config=json.dumps(config), changes="{}", **common)  # fmt: skip
    for arm, number in itertools.product(arms, range(tries)):
        write_trial(storage, study, f"{arm}-t{number}", 0.5, role="tune", arm=arm, seed=1000,
                    number=number, tested=False, changes="{}", **common)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    write(folder, "first", ("full", "galore"))
    write(folder, "second", ("lora", "srft_galore"))
    return folder


@pytest.fixture
def storage(written: Path, tmp_path: Path) -> Path:
    """Both studies, in a folder of the test's own."""
    return Path(shutil.copytree(written, tmp_path / "results"))


def test_arms_of_both_are_compared_with_the_firsts_baseline(storage: Path) -> None:
    whole = together([scores(storage, "first"), scores(storage, "second")])
    rows = whole.rows
    assert rows.arms == ("first: full", "first: galore", "second: lora", "second: srft_galore")
    found = findings(whole).summary
    assert found.baseline == "first: full"
    lora = next(d for d in found.comparisons[0].differences if d.arm == "second: lora")
    assert lora.seeds == (0, 1, 2)
    assert lora.p_seeds == pytest.approx(stats.ttest_rel(DICE["lora"], DICE["full"]).pvalue)
    arm = next(a for a in found.summary.arms if a.arm == "second: lora")
    assert arm.changes == "method=lora"
    assert len(rows.trials) == rows.trials["trial_id"].nunique() == 12


def test_the_common_protocol_is_written_out(storage: Path) -> None:
    said = shared_protocol([scores(storage, "first"), scores(storage, "second")])
    assert "schedule.epochs 6" in said[0]
    assert f"metric dice per_image at {SIDE} x {SIDE} pixels" in said[0]
    assert "test images 18 images" in said[0]
    assert said[1] == "The baselines differ in method."


def test_one_margin_and_the_declared_pairs_stay_in_force(storage: Path) -> None:
    def together_with(second: float) -> tuple[StudyRows, tuple[str, ...]]:
        for study, margin in (("first", 0.01), ("second", second)):
            known = study_file.read(storage, study) or {}
            study_file.write(storage, study, {
                **known, "margin": {"dice": margin},
                "contrasts": [["srft_galore", "lora"]] if study == "second" else [],
            })  # fmt: skip
        studies = [scores(storage, "first"), scores(storage, "second")]
        return together(studies).rows, shared_protocol(studies)

    rows, said = together_with(0.01)
    assert rows.margin == {"dice": 0.01}
    assert rows.contrasts == [("second: srft_galore", "second: lora")]
    assert not any("margins" in s for s in said)
    rows, said = together_with(0.02)
    assert rows.margin == {}
    assert "Their margins differ: arms are held against none here." in said


def test_an_arm_looks_the_same_in_every_section(storage: Path) -> None:
    studies = [scores(storage, "first"), scores(storage, "second")]
    whole = together(studies)
    everywhere = looks(whole.rows.arms, whole.rows.baseline)
    for study in studies:
        for arm, drawn in looks_within(study.rows, whole.rows).items():
            assert drawn == everywhere[f"{study.rows.name}: {arm}"]
    assert len({(d.color, d.symbol) for d in everywhere.values()}) == 4
    second = studies[1].rows
    alone = looks(second.arms, second.baseline)
    assert alone["lora"] != looks_within(second, whole.rows)["lora"]


def test_unlike_external_sets_are_left_out(tmp_path: Path) -> None:
    for study, elsewhere in (("one", -0.2), ("two", -0.1), ("three", None)):
        write_ablation(tmp_path, study, elsewhere=elsewhere)
    one, two, three = (scores(tmp_path, study) for study in ("one", "two", "three"))
    assert findings(together([one, two])).summary.external
    assert not findings(together([one, three])).summary.external
    assert "not tested on the same external images" in shared_protocol([one, three])[-1]


def test_the_comparison_comes_first_on_the_page(storage: Path, tmp_path: Path) -> None:
    out, tables = tmp_path / "r.html", tmp_path / "tables"
    html = build(storage, ["first", "second"], out, tables).read_text()
    assert html.index("first + second") < html.index("How do the arms of first and second compare?")
    assert "Common protocol" in html
    assert (tables / "first+second-paired.csv").is_file()
    apart = build(storage, ["first", "second"], out, beside="separate").read_text()
    assert "first + second" not in apart


LONGER = {"schedule": {"epochs": 2 * EPOCHS, "batch_size": 8}}
OTHER_DATA = {"data": {"name": "l3d", "size": 96}}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"changed": LONGER}, "schedule.epochs: 6 in first, 12 in other"),
        ({"changed": OTHER_DATA}, "data: synthetic_liver in first, l3d in other"),
        ({"data_hash": "e" * 40}, f"data hash: {'d' * 12} in first, {'e' * 12} in other"),
        ({"weights_hash": "x" * 40}, f"initial weights: {'w' * 12} in first, {'x' * 12} in other"),
        ({"tries": 2}, "tuning trials of an arm: 0 in first, 2 in other"),
        ({"git_dirty": True}, "code: committed in first, uncommitted in other"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_unfair_comparisons_are_refused(
    settings: dict[str, Any], told: str, storage: Path, tmp_path: Path
) -> None:
    write(storage, "other", ("lora",), **settings)
    studies = [scores(storage, "first"), scores(storage, "other")]
    assert unfair(studies) == [told]
    with pytest.raises(UnfairError, match="cannot be compared fairly") as caught:
        build(storage, ["first", "other"], tmp_path / "r.html")
    assert told in str(caught.value)
    assert "--separate" in str(caught.value)
    assert not (tmp_path / "r.html").exists()


def test_another_protocol_resolution_or_split_is_refused(storage: Path) -> None:
    write(storage, "other", ("lora",))
    rows = tables.read(storage, "other", "scores").to_pylist()
    for trial, of_trial in itertools.groupby(rows, lambda r: r["trial_id"]):
        moved = [{**r, "resolution": LARGER_MASKS} for r in of_trial if r["trial_id"] == trial]
        tables.write(storage, "other", "scores", moved)
    images = tables.read(storage, "other", "images").to_pylist()
    for _, of_trial in itertools.groupby(images, lambda r: r["trial_id"]):
        fewer = [r for r in of_trial if r["patient_id"] != "p0"]
        tables.write(storage, "other", "images", fewer)
    told = unfair([scores(storage, "first"), scores(storage, "other")])
    assert [t.partition(":")[0] for t in told] == ["test images", "metric dice", "metric assd"]
    assert f"per_image at {2 * SIDE} x {2 * SIDE} pixels in other" in told[1]


def test_all_differences_are_told_at_once(storage: Path) -> None:
    write(storage, "other", ("lora",), changed={**LONGER, **OTHER_DATA}, data_hash="e" * 40)
    told = unfair([scores(storage, "first"), scores(storage, "other")])
    assert [t.partition(":")[0] for t in told] == ["data hash", "data", "schedule.epochs"]


def test_a_search_is_never_compared(storage: Path, tmp_path: Path) -> None:
    write_search(storage, "rank", trials=4)
    assert not comparable(scores(storage, "rank").rows)
    html = build(storage, ["first", "rank"], tmp_path / "r.html").read_text()
    assert "Common protocol" not in html


def test_the_command_refuses_and_says_how_to_go_on(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(storage, "other", ("lora",), changed=LONGER)
    command = ["report", "first", "other", "--storage", str(storage),
               "--out", str(tmp_path / "r.html")]  # fmt: skip
    assert main(command) == 2
    assert "schedule.epochs: 6 in first, 12 in other" in capsys.readouterr().err
    assert main([*command, "--separate"]) == 0


def test_studies_without_shared_seeds_have_no_pairs(storage: Path) -> None:
    write(storage, "other", ("lora",))
    trials = tables.read(storage, "other", "trials").to_pylist()
    for row in trials:
        tables.write(storage, "other", "trials", [{**row, "seed": row["seed"] + 10}])
    studies = [scores(storage, "first"), scores(storage, "other")]
    section = comparison_section(together(studies), studies)
    paired = next(p for p in section.parts if p.title == "Differences to the baseline")
    assert paired.missing == "No seed in common with the baseline: other: lora."
