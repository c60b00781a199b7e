"""What ran, and what a reader must know before any number."""

import json
from pathlib import Path

from support.report_tables import IMAGES, PATIENTS, write_ablation, write_trial

from segtune.report.evidence.objections.conditions import unlike_conditions
from segtune.report.parts.head.ran import banners, facts
from segtune.report.parts.unfinished import failures
from segtune.results import tables
from segtune.results.study_rows import load
from segtune.results.study_scores import StudyScores


def test_head_says_what_ran(methods: StudyScores, storage: Path) -> None:
    shown = {f.name: f.value for f in facts(methods.rows)}
    assert shown["commands"] == "segtune run mine.py --set data.root='my data'"
    assert shown["trials"] == "12: 12 finished"
    assert shown["images"] == f"val 8, test {IMAGES} (of {PATIENTS} patients)"
    assert [b.text for b in banners(methods.rows)] == [
        "Synthetic data, nano encoders: these numbers say nothing about the paper's results."
    ]
    rank = load(storage, "rank")
    assert any("1 pruned, 1 failed" in b.text for b in banners(rank))
    assert [(f.trial_id, f.status, f.epochs) for f in failures(rank)] == [("t3", "failed", 2)]


def test_seeds_are_counted_by_what_they_are_for(tmp_path: Path) -> None:
    for number in range(12):
        write_trial(tmp_path, "own", f"t{number}", 0.6, role="search", number=number, seed=number,
                    tested=False, status="pruned" if number % 2 else "finished")  # fmt: skip
    for seed in (101, 102, 103):
        write_trial(tmp_path, "own", f"t0-s{seed}", 0.6, role="finalist", arm="t0", number=0,
                    seed=seed)  # fmt: skip
    rows = load(tmp_path, "own")
    shown = {f.name: f.value for f in facts(rows)}
    assert shown["seeds"] == "12 search seeds, 3 finalist seeds"
    assert not any("Not all trials finished" in b.text for b in banners(rows))  # pruned is no fault


def test_unlike_conditions_and_uncommitted_code_are_told(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    write_trial(tmp_path, "methods", "lora-s1", 0.6, role="arm", arm="lora", seed=1,
                device="NVIDIA H200")  # fmt: skip
    write_trial(tmp_path, "methods", "lora-s2", 0.6, role="arm", arm="lora", seed=2,
                git_dirty=True)  # fmt: skip
    said = [b.text for b in banners(load(tmp_path, "methods"))]
    assert any("2 different devices" in text for text in said)
    assert any("1 trial ran from a work tree with uncommitted changes" in text for text in said)


def test_boxes_from_the_truth_are_told(tmp_path: Path) -> None:
    config = {"data": {"name": "kvasir_sessile"}, "system": {"name": "imedsam"}}
    write_trial(tmp_path, "own", "lora-s0", 0.6, role="arm", arm="lora", seed=0,
                config=json.dumps(config))  # fmt: skip
    scored = tables.read(tmp_path, "own", "scores").to_pylist()
    for prompts, told in (("none", False), ("image", False), ("jittered", True), ("truth", True)):
        tables.write(tmp_path, "own", "scores", [{**row, "prompts": prompts} for row in scored])
        said = [b.text for b in banners(load(tmp_path, "own"))]
        assert any(f"Boxes around the truth ({prompts})" in text for text in said) == told


def test_small_encoders_of_every_system_are_told(tmp_path: Path) -> None:
    config = {"data": {"name": "kvasir_sessile"}, "system": {"name": "x", "sam": {"size": "nano"}}}
    write_trial(tmp_path, "own", "lora-s0", 0.6, role="arm", arm="lora", seed=0,
                config=json.dumps(config))  # fmt: skip
    said = [b.text for b in banners(load(tmp_path, "own"))]
    assert "Nano encoders: these numbers say nothing about the paper's results." in said


def test_what_begins_from_no_weights_is_not_unlike_those_that_do(tmp_path: Path) -> None:
    def said(box_weights: str) -> bool:
        for arm, weights in (("lora", "w" * 40), ("filled_box", box_weights)):
            write_trial(tmp_path, "own", f"{arm}-s0", 0.6, role="arm", arm=arm, seed=0,
                        weights_hash=weights)  # fmt: skip
        return any("initial weights" in b.text for b in banners(load(tmp_path, "own")))

    assert said("x" * 40)
    assert not said("none")


def test_other_networks_begin_from_other_weights_by_design(tmp_path: Path) -> None:
    for arm, system in (("dual", "dual_encoder"), ("unet", "smp")):
        config = json.dumps({"system": {"name": system}})
        write_trial(tmp_path, "own", f"{arm}-s0", 0.6, role="arm", arm=arm, seed=0,
                    weights_hash=arm * 10, config=config)  # fmt: skip
    rows = load(tmp_path, "own")
    assert not any("weights" in b.text for b in banners(rows))
    (condition,) = unlike_conditions(rows)
    assert "a difference is of network and weights together" in condition.text


def test_real_data_and_encoders_carry_no_such_banner(tmp_path: Path) -> None:
    config = {"data": {"name": "l3d"}, "system": {"rgb": {"size": "hiera_large"}}}
    write_trial(tmp_path, "own", "lora-s0", 0.6, role="arm", arm="lora", seed=0,
                config=json.dumps(config))  # fmt: skip
    assert not any("nano" in b.text for b in banners(load(tmp_path, "own")))
