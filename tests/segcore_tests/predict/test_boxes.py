"""Box prompts from files: JSON of our own, and what labelme writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from segcore.predict.boxes import read_image_boxes, read_volume_boxes


def labelme(path: Path, shapes: list[tuple[str, str, Any]], image: str = "..\\im\\a.png") -> Path:
    """A file as labelme writes it."""
    values: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}}
            for label, kind, points in shapes
        ],
        "imagePath": image,
        "imageData": None,
        "imageHeight": 60,
        "imageWidth": 80,
    }
    path.write_text(json.dumps(values))
    return path


def test_rectangles_of_labelme_are_boxes_by_class(tmp_path: Path) -> None:
    file = labelme(
        tmp_path / "a.json",
        [
            ("liver", "rectangle", [[40, 50], [10.5, 20]]),  # drawn from the lower right corner
            ("spleen", "rectangle", [[1, 2], [3, 4]]),
            ("note", "polygon", [[0, 0], [5, 5], [0, 5]]),
        ],
    )
    expected = {"a.png": {"liver": (10.5, 20, 40, 50), "spleen": (1, 2, 3, 4)}}
    assert read_image_boxes(file) == expected
    labelme(tmp_path / "b.json", [("liver", "rectangle", [[0, 0], [9, 9]])], image="b.png")
    assert read_image_boxes(tmp_path) == expected | {"b.png": {"liver": (0, 0, 9, 9)}}


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        labelme(tmp_path / f"{name}.json", [("liver", "rectangle", [[0, 0], [9, 9]])])
    with pytest.raises(ValueError, match=r"another file of .* is of the image a\.png too"):
        read_image_boxes(tmp_path)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([("liver", "polygon", [[0, 0], [5, 5]])], "no shape of the type rectangle"),
        ([("liver", "rectangle", [[0, 0], [5, 5]])] * 2, "two rectangles 'liver'"),
        ([("liver", "rectangle", [[0, 0], ["x", 5]])], "points are not a list"),
    ],
)
def test_labelme_files_that_are_no_prompts(
    tmp_path: Path, shapes: list[tuple[str, str, Any]], told: str
) -> None:
    file = labelme(tmp_path / "a.json", shapes)
    with pytest.raises(ValueError, match=told):
        read_image_boxes(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_image_boxes(tmp_path / "gone.json")
    with pytest.raises(ValueError, match="holds no .json file"):
        read_image_boxes(tmp_path)
    (tmp_path / "odd.json").write_text('{"a.png": [1, 2, 3]}')
    with pytest.raises(ValueError, match=r'write \{"IMAGE": \[x0, y0, x1, y1\]\}'):
        read_image_boxes(tmp_path / "odd.json")
    (tmp_path / "odd.json").write_text('{"scan.nii": {"-1": [1, 2, 3, 4]}}')
    with pytest.raises(ValueError, match=r'write \{"VOLUME": \{"SLICE"'):
        read_volume_boxes(tmp_path / "odd.json")


def test_boxes_of_slices_may_be_of_classes(tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text('{"scan.nii": {"0": [1, 2, 3, 4], "12": {"liver": [5, 6, 7, 8]}}}')
    assert read_volume_boxes(file) == {"scan.nii": {0: (1, 2, 3, 4), 12: {"liver": (5, 6, 7, 8)}}}
