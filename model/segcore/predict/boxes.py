"""Box prompts of images to predict, from a file of the user's."""

import json
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter

from segcore.classes import ClassSpec
from segcore.data.faults import Faults
from segcore.data.labelme import parse_rectangles
from segcore.data.prompts import Box, ImageBoxes

T = TypeVar("T")
SliceBoxes = dict[Annotated[int, Field(ge=0)], ImageBoxes]
"""By the number of a slice, from 0 at the feet."""
_OF_IMAGES = TypeAdapter(dict[str, ImageBoxes])
_OF_VOLUMES = TypeAdapter(dict[str, SliceBoxes])


def read_image_boxes(place: Path) -> dict[str, ImageBoxes]:
    """Box prompts in pixels of each image: one box, or one for each class.

        {"scene1.png": [10, 20, 110, 90],
         "scene2.png": {"ridge": [0, 40, 60, 80], "ligament": [55, 0, 90, 30]}}

    Args:
        place: a JSON file of that form; or one that the labelme annotation tool wrote, or a folder
            of those, whose rectangles are boxes of the class that they are labelled with.

    Raises:
        ValueError: no such file, or something else than that in it.
    """
    if place.is_dir():
        files = sorted(place.glob("*.json"))
        if not files:
            raise ValueError(f"{place} holds no .json file")
        found: dict[str, ImageBoxes] = {}
        for file in files:
            for name, boxes in _of_labelme(file).items():
                if name in found:
                    raise ValueError(f"{file}: another file of {place} is of the image {name} too")
                found[name] = boxes
        return found
    if place.is_file() and _is_labelme(place):
        return _of_labelme(place)
    return _read(
        place,
        _OF_IMAGES,
        '{"IMAGE": [x0, y0, x1, y1]}, or {"IMAGE": {"CLASS": [x0, y0, x1, y1]}}',
    )


def read_volume_boxes(file: Path) -> dict[str, SliceBoxes]:
    """Box prompts of volumes' slices, in pixels of each slice as `segcore.data.volumes` turns it:
    front up, the patient's right on the left.

        {"scan.nii.gz": {"12": [10, 20, 110, 90], "13": {"liver": [12, 20, 108, 88]}}}

    Raises:
        ValueError: no such file, or something else than that in it.
    """
    return _read(
        file,
        _OF_VOLUMES,
        '{"VOLUME": {"SLICE": [x0, y0, x1, y1]}}, or {"VOLUME": {"SLICE": {"CLASS": [x0, y0, x1, '
        "y1]}}}",
    )


def boxes_given(
    place: Path | None,
    read: Callable[[Path], T],
    prompted: ClassSpec | None,
    faults: Faults,
) -> T | None:
    """What a user's place holds; None where there is none, or it can't be used.

    Args:
        place: of the boxes.
        read: one of the readers above.
        prompted: the classes of a network that looks at boxes; None: it does not.
        faults: get what is wrong.
    """
    if place is None:
        return None
    if prompted is None:
        faults.add("boxes without use", f"{place}: this network looks at no boxes")
        return None
    try:
        return read(place)
    except ValueError as error:
        faults.add("boxes that can't be read", str(error))
        return None


def _read(file: Path, kind: TypeAdapter[T], form: str) -> T:
    try:
        return kind.validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(
            f"{file} is not JSON of boxes: write {form}, with numbers in pixels"
        ) from error


def _is_labelme(file: Path) -> bool:
    """Whether it has labelme's list of shapes; what is no JSON is told by its reader."""
    try:
        values = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(values, dict) and isinstance(values.get("shapes"), list)


def _of_labelme(file: Path) -> dict[str, ImageBoxes]:
    """The rectangles of a labelme file by their labels; other shapes are passed over."""
    try:
        image, rectangles = parse_rectangles(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{file} is no labelme file: {error}") from error
    if not rectangles:
        raise ValueError(f"{file} has no shape of the type rectangle: draw one around each object")
    boxes: dict[str, Box] = {}
    for label, box in rectangles:
        if label in boxes:
            raise ValueError(f"{file} has two rectangles {label!r}: a class has one box")
        boxes[label] = box
    return {PureWindowsPath(image).name: boxes}
