"""Box prompts of images to predict, from a file of the user's."""

from pathlib import Path

from pydantic import TypeAdapter

from segcore.data.prompts import ImageBoxes

_BOXES = TypeAdapter(dict[str, ImageBoxes])


def read_boxes(file: Path) -> dict[str, ImageBoxes]:
    """Box prompts from a JSON file, in pixels of each image: one box, or one for each class.

        {"scene1.png": [10, 20, 110, 90],
         "scene2.png": {"ridge": [0, 40, 60, 80], "ligament": [55, 0, 90, 30]}}

    Raises:
        ValueError: no such file, or something else than that in it.
    """
    try:
        return _BOXES.validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(
            f'{file} is not JSON of boxes: write {{"IMAGE": [x0, y0, x1, y1]}}, or {{"IMAGE": '
            '{"CLASS": [x0, y0, x1, y1]}}, with numbers in pixels'
        ) from error
