"""Synthetic scenes: repeatable, split by patient, written once, read by the L3D reader."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segcore.data.contact_sheet import BAR, contact_sheet
from segcore.data.dataset import SPLITS, DataConfig
from segcore.data.faults import DataError
from segcore.data.labelme import Polyline
from segcore.data.scenes.liver_domain import DOMAINS
from segcore.data.scenes.liver_scene import draw_patient, render, visible_parts
from segcore.data.sets.l3d import L3D
from segcore.data.sets.synthetic_liver import SyntheticLiver

DOMAIN_A = [
    [122.982, 67.556, 71.513, 110.533, 3],
    [119.320, 64.669, 66.731, 122.951, 3],
    [129.023, 95.593, 78.265, 132.244, 1],
    [107.024, 49.421, 50.196, 105.082, 3],
]
"""Mean red, green, blue and depth, and the number of lines, of four scenes of renderer 2."""
SMALL = SyntheticLiver(train=7, val=3, test=2, images_per_patient=3, size=96)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_same_fields_give_the_same_bytes(cache: Path, tmp_path: Path) -> None:
    here = SMALL.open()
    there = dataclasses.replace(SMALL, root=str(tmp_path / "there")).open()
    assert here.content_hash() == there.content_hash()
    assert contents(SMALL.folder()) == contents(tmp_path / "there")


def test_another_seed_gives_other_scenes(cache: Path) -> None:
    other = dataclasses.replace(SMALL, seed=1)
    assert SMALL.open().content_hash() != other.open().content_hash()
    assert SMALL.folder() != other.folder()


def test_a_larger_train_split_changes_nothing_else(cache: Path) -> None:
    larger = dataclasses.replace(SMALL, train=10)
    SMALL.open()
    larger.open()
    small, large = contents(SMALL.folder()), contents(larger.folder())
    del small["scenes.json"]
    assert small.items() <= large.items()
    assert len(large) == len(small) + 3 * 3 + 1


def test_patients_are_in_one_split_each(cache: Path) -> None:
    data = SMALL.open()
    patients = [{data.load(s, i, (32, 32)).patient_id for i in data.ids(s)} for s in SPLITS]
    assert [len(p) for p in patients] == [3, 1, 1]
    assert len(set.union(*patients)) == 5
    assert [len(data.ids(s)) for s in SPLITS] == [7, 3, 2]


def test_the_line_width_is_applied_on_reading(cache: Path) -> None:
    thick = dataclasses.replace(SMALL, line_width=0.1)
    assert thick.folder() == SMALL.folder()
    name = SMALL.open().ids("train")[0]
    thin_area = (SMALL.open().load("train", name, (96, 96)).labels_HW > 0).sum()
    assert (thick.open().load("train", name, (96, 96)).labels_HW > 0).sum() > 1.3 * thin_area


def test_it_is_a_folder_that_l3d_reads(cache: Path) -> None:
    data = SMALL.open()
    assert L3D(root=str(SMALL.folder())).open().content_hash() == data.content_hash()
    assert DataConfig.named("synthetic_liver", train=3) == SyntheticLiver(train=3)


def test_every_landmark_occurs_and_none_fills_the_image(cache: Path) -> None:
    data = dataclasses.replace(SMALL, train=20).open()
    labels = np.stack([data.load("train", i, (96, 96)).labels_HW for i in data.ids("train")])
    share = [(labels == k).mean() for k in range(4)]
    assert share[0] > 0.75
    assert all(0.01 < s < 0.12 for s in share[1:])


def test_depth_steps_at_the_silhouette_and_is_nearest_at_the_ridge() -> None:
    """What makes depth worth having, averaged over frames: above the silhouette it is farther
    than below, and on both sides of the ridge farther than on it."""
    step, crease = [], []
    for number in range(24):
        rng = np.random.default_rng(number)
        scene = render(draw_patient(rng), rng, 128)
        depth = scene.depth_HW.astype(float)
        for line in scene.lines:
            x, y = np.rint(line.points_N2[len(line.points_N2) // 2]).astype(int)
            if not (20 < y < 108) or not (20 < x < 108):
                continue
            above, on, below = (depth[y + d - 2 : y + d + 3, x].mean() for d in (-10, 0, 10))
            if line.label == "silhouette":
                step.append(above - below)
            elif line.label == "ridge":
                crease.append((above + below) / 2 - on)
    assert np.mean(step) > 30
    assert np.mean(np.array(step) > 0) > 0.85
    assert np.mean(crease) > 3
    assert np.mean(np.array(crease) > 0) > 0.75


def test_lines_are_cut_where_they_are_hidden() -> None:
    visible = np.ones((100, 100), bool)
    visible[:, 40:60] = False
    line = Polyline("ridge", np.array([[-50.0, 50.0], [150.0, 50.0]]))
    left, right = visible_parts(line, visible)
    assert (left.points_N2[0, 0], left.points_N2[-1, 0]) == (0, 38)
    assert (right.points_N2[0, 0], right.points_N2[-1, 0]) == (60, 98)
    assert left.label == "ridge"
    assert visible_parts(line, np.zeros_like(visible)) == []


def test_a_foreign_or_older_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    config = dataclasses.replace(SMALL, root=str(tmp_path))
    with pytest.raises(DataError, match="holds no synthetic scenes"):
        config.open()
    here = dataclasses.replace(SMALL, root=str(tmp_path / "scenes"))
    here.open()
    with pytest.raises(DataError, match='was rendered from .*"seed": 0.*asked for is'):
        dataclasses.replace(here, seed=4).open()


def test_a_failed_rendering_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("no light")

    monkeypatch.setattr("segcore.data.scenes.liver_scene.render", fail)
    with pytest.raises(RuntimeError, match="no light"):
        SMALL.open()
    assert list(cache.iterdir()) == []


def test_processes_that_open_at_once_share_one_folder(cache: Path) -> None:
    code = (
        "from segcore.data.sets.synthetic_liver import SyntheticLiver\n"
        f"print(SyntheticLiver(**{dataclasses.asdict(SMALL)!r}).open().content_hash())"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    hashes = [process.communicate(timeout=120)[0] for process in processes]
    assert hashes == [SMALL.open().content_hash() + "\n"] * 3
    assert [p.name for p in cache.iterdir()] == [SMALL.folder().name]


def test_rendering_is_quick() -> None:
    rng = np.random.default_rng(0)
    patient = draw_patient(rng)
    start = time.process_time()
    for _ in range(10):
        render(patient, rng, 192)
    assert (time.process_time() - start) / 10 < 0.15


def test_the_contact_sheet_shows_three_pictures_a_sample(cache: Path) -> None:
    data = SMALL.open()
    sheet = contact_sheet(data, "train", 4, size=64, columns=2)
    assert sheet.size == (2 * 3 * 64 + 4, BAR + 2 * 64 + 4)
    assert contact_sheet(data, "test", 50, size=64).size[1] == BAR + 64


def test_domain_a_is_what_it_was_before_there_was_another() -> None:
    """Numbers of the renderer as released: other draws would move them by far more than the
    rounding of another processor. The folder's name holds the rest of what it depends on."""
    told = []
    for who in range(4):
        patient = draw_patient(np.random.default_rng((0, 0, who)))
        scene = render(patient, np.random.default_rng((0, 0, who, 1)), 128)
        told.append([*scene.image_HW3.mean((0, 1)), scene.depth_HW.mean(), len(scene.lines)])
    np.testing.assert_allclose(told, DOMAIN_A, atol=0.02)
    assert SyntheticLiver().folder().name == "synthetic_liver-8c581eaf8ffc8624"


def test_domain_b_is_another_hospital_with_other_patients(cache: Path) -> None:
    other = dataclasses.replace(SMALL, domain="b")
    here, there = SMALL.open(), other.open()
    patients = [
        {data.load(split, i, (32, 32)).patient_id for split in SPLITS for i in data.ids(split)}
        for data in (here, there)
    ]
    assert not patients[0] & patients[1]
    for split in SPLITS:
        assert len(here.ids(split)) == len(there.ids(split))
        for mine, theirs in zip(here.ids(split), there.ids(split), strict=True):
            lines = (
                here.load(split, mine, (96, 96)).labels_HW,
                there.load(split, theirs, (96, 96)).labels_HW,
            )
            assert (lines[0] != lines[1]).mean() > 0.02


def test_domains_differ_in_camera_light_and_tissue() -> None:
    """Averaged over patients: b is yellower, darker at the rim of its lamp, bluer in the lights,
    noisier, and has no black corners; its landmarks are all there."""
    green, corner, labels = {}, {}, {}
    for name, domain in DOMAINS.items():
        scenes = []
        for who in range(16):
            rng = np.random.default_rng((7, who))
            scenes.append(render(draw_patient(rng, domain), rng, 96))
        images = np.stack([s.image_HW3 for s in scenes]).astype(float)
        green[name] = np.median(images[..., 1] / (images[..., 0] + 1))
        corner[name] = np.mean(images[:, 0, 0].sum(-1) < 30)
        labels[name] = {line.label for s in scenes for line in s.lines}
    assert green["b"] > 1.3 * green["a"]
    assert corner["b"] < 0.3 < 0.7 < corner["a"]
    assert labels["a"] == labels["b"] == {"ridge", "silhouette", "ligament"}
