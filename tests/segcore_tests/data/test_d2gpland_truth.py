"""The truth that L3D's numbers in the literature are of, against a re-statement of their loader."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segcore.data.sets.l3d import L3D
from segcore.data.sets.l3d_2k import L3D2K
from segcore.presets import paper, paper_as_coded, recommended

SIZE = 1024
FRAMES = {"12_0007": (1080, 1920), "25_0003": (2160, 3840), "40_25_1": (2160, 3840)}
"""Names and sizes. Their loader knows frames in 4K by `_25` in the name: the second has none."""
LINES = {
    "ridge": [(0.1, 0.303), (0.5, 0.31), (0.9, 0.3)],
    "silhouette": [(0.1, 0.61), (0.9, 0.6)],
    "ligament": [(0.505, 0.1), (0.515, 0.9)],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("l3d")
    for split in ("Train", "Val", "Test"):
        for name in ("images", "labels", "depth_AdelaiDepth"):
            (folder / split / name).mkdir(parents=True)
        for stem, (height, width) in FRAMES.items():
            if split != "Train":
                stem, height, width = f"{split}{stem[:2]}_0", 1080, 1920
            smooth = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
            stripes = np.broadcast_to(smooth, (height, width, 3)).copy()
            stripes[::2] //= 2  # what is lost where a picture is made smaller without averages
            cv2.imwrite(str(folder / split / "images" / f"{stem}.jpg"), stripes)
            depth = folder / split / "depth_AdelaiDepth" / f"{stem}.png"
            cv2.imwrite(str(depth), stripes[..., 0])
            shapes = [
                {"label": label, "points": [[x * width + 0.7, y * height + 0.7] for x, y in points]}
                for label, points in LINES.items()
            ]
            annotation = {"shapes": shapes, "imageHeight": height, "imageWidth": width}
            (folder / split / "labels" / f"{stem}.json").write_text(json.dumps(annotation))
    return folder


def theirs(path: Path) -> NDArray[np.uint8]:
    """One-hot (4, H, W) with 255, step by step as the loader has it."""
    canvas = np.zeros((1080, 1920), np.uint8)
    if any(mark in path.name for mark in ("_31", "_36", "_25", "_29")):
        canvas = np.zeros((2160, 3840), np.uint8)
    for shape in json.loads(path.read_text())["shapes"]:
        colour = {"r": 1, "s": 2, "l": 3}.get(shape["label"][0], 0)
        for i in range(1, len(shape["points"])):
            (x0, y0), (x1, y1) = shape["points"][i - 1], shape["points"][i]
            cv2.line(canvas, (int(x0), int(y0)), (int(x1), int(y1)), colour, 30)
    small = cv2.resize(canvas, (SIZE, SIZE))
    masks = np.zeros((4, SIZE, SIZE), np.uint8)
    for k in range(4):
        masks[k][small == k] = 255
    return masks


@pytest.mark.parametrize("stem", FRAMES)
@pytest.mark.parametrize("reading", [paper, paper_as_coded])
def test_the_readings_of_the_paper_see_what_its_loader_sees(
    root: Path, stem: str, reading: object
) -> None:
    config = reading(str(root), pretrained="random")  # type: ignore[operator]
    data = config.data.open()
    sample = data.load("train", stem, config.system.input_size)
    target = data.classes.targets(sample.labels_HW[None])[0]
    assert np.array_equal(target * 255, theirs(root / "Train" / "labels" / f"{stem}.json"))
    image = cv2.imread(str(root / "Train" / "images" / f"{stem}.jpg"))
    assert image is not None
    expected = cv2.cvtColor(cv2.resize(image, (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(sample.image_HW3, expected)
    depth = cv2.imread(str(root / "Train" / "depth_AdelaiDepth" / f"{stem}.png"), 0)
    assert depth is not None
    assert sample.depth_HW is not None
    assert np.array_equal(sample.depth_HW, cv2.resize(depth, (SIZE, SIZE)))


def rows_of(labels_HW: NDArray[np.uint8], value: int) -> int:
    """How thick a line is, away from the others."""
    return int((labels_HW[:, SIZE // 4] == value).sum())


def test_bands_are_half_as_wide_on_4k_and_fringed_where_ours_are_neither(root: Path) -> None:
    coded = L3D(root=str(root), truth="d2gpland").open()
    scaled = recommended(str(root), pretrained="random").data.open()
    size = (SIZE, SIZE)
    usual, large = (coded.load("train", stem, size).labels_HW for stem in ("12_0007", "40_25_1"))
    assert rows_of(usual, 1) == pytest.approx(29, abs=1)
    assert rows_of(large, 1) == pytest.approx(15, abs=1)
    fringe = (usual == 1) & (np.arange(SIZE)[:, None] > SIZE // 2)
    assert fringe.sum() > 500, "ridge where silhouette and ligament fade into the background"
    for stem in ("12_0007", "40_25_1"):
        ours = scaled.load("train", stem, size).labels_HW
        assert rows_of(ours, 1) == pytest.approx(29, abs=1)
        assert not ((ours == 1) & (np.arange(SIZE)[:, None] > SIZE // 2)).any()
    lost = coded.load("train", "25_0003", size).labels_HW
    assert (lost == 1).sum() < (usual == 1).sum(), "three quarters of an unknown 4K frame are lost"


def test_what_would_change_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="line_width has no effect with truth='d2gpland'"):
        L3D(root="x", truth="d2gpland", line_width=0.1)
    with pytest.raises(ValueError, match=r"D2GPLand\+ scales its bands"):
        L3D2K(root="x", truth="d2gpland")
    assert L3D2K(root="x", line_width=0.1).truth == "scaled"
