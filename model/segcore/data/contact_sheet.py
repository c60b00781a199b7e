"""A picture of samples: image, depth and truth side by side."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Dataset, Sample, Split

GAP = 4
BAR = 18
"""Height of the legend, pixels."""


def overlay(
    image_HW3: NDArray[np.uint8], labels_HW: NDArray[np.uint8], classes: ClassSpec
) -> NDArray[np.uint8]:
    """The image with each foreground class tinted in its colour."""
    out = image_HW3.astype(np.float32)
    for name, inside in classes.foreground_masks(labels_HW).items():
        out[inside] = 0.35 * out[inside] + 0.65 * np.array(classes.colour(name), np.float32)
    return out.astype(np.uint8)


def contact_sheet(
    dataset: Dataset, split: Split, count: int, *, size: int = 192, columns: int = 2
) -> Image.Image:
    """Samples spread evenly over a split, three pictures each, under its name and a legend of the
    classes.

    Args:
        dataset: an open data set.
        split: which split.
        count: how many samples, at most as many as there are.
        size: side of each picture, pixels.
        columns: samples in a row.
    """
    ids = dataset.ids(split)
    count = min(count, len(ids))
    chosen = [ids[i * len(ids) // count] for i in range(count)]
    tiles = [_tile(dataset.load(split, i, (size, size)), dataset.classes) for i in chosen]
    height, width = tiles[0].shape[:2]
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, BAR + rows * (height + GAP) - GAP))
    for n, tile in enumerate(tiles):
        row, column = divmod(n, columns)
        sheet.paste(Image.fromarray(tile), (column * (width + GAP), BAR + row * (height + GAP)))
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 3), split, fill=(255, 255, 255))
    x = 3 * GAP + round(pen.textlength(split))
    for name in dataset.classes.foreground:
        pen.rectangle((x, 4, x + 10, 14), fill=dataset.classes.colour(name))
        pen.text((x + 14, 3), name, fill=(255, 255, 255))
        x += 24 + round(pen.textlength(name))
    return sheet


def contact_sheets(dataset: Dataset, count: int, *, size: int = 192) -> Image.Image:
    """The contact sheets of all splits that have images, one below the other.

    Raises:
        ValueError: no split has any.
    """
    sheets = [contact_sheet(dataset, s, count, size=size) for s in SPLITS if dataset.ids(s)]
    if not sheets:
        raise ValueError("there is no image that can be drawn")
    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)))
    y = 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height
    return whole


def _tile(sample: Sample, classes: ClassSpec) -> NDArray[np.uint8]:
    """Image, depth (black where there is none) and overlay of one sample, (H, 3W, 3)."""
    depth = sample.depth_HW if sample.depth_HW is not None else np.zeros_like(sample.labels_HW)
    truth = overlay(sample.image_HW3, sample.labels_HW, classes)
    return np.hstack([sample.image_HW3, np.repeat(depth[..., None], 3, axis=2), truth])
