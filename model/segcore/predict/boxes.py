"""Box prompts of images to predict, from a file of the user's."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter

from segcore.data.prompts import ImageBoxes

T = TypeVar("T")
SliceBoxes = dict[Annotated[int, Field(ge=0)], ImageBoxes]
"""By the number of a slice, from 0 at the feet."""
_OF_IMAGES = TypeAdapter(dict[str, ImageBoxes])
_OF_VOLUMES = TypeAdapter(dict[str, SliceBoxes])


def read_image_boxes(file: Path) -> dict[str, ImageBoxes]:
    """Box prompts from a JSON file, in pixels of each image: one box, or one for each class.

        {"scene1.png": [10, 20, 110, 90],
         "scene2.png": {"ridge": [0, 40, 60, 80], "ligament": [55, 0, 90, 30]}}

    Raises:
        ValueError: no such file, or something else than that in it.
    """
    return _read(
        file,
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


def _read(file: Path, kind: TypeAdapter[T], form: str) -> T:
    try:
        return kind.validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(
            f"{file} is not JSON of boxes: write {form}, with numbers in pixels"
        ) from error
