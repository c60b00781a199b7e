"""Pictures of samples: image, depth and truth side by side, and what augmentation makes of them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segcore.batch import Size
from segcore.classes import ClassSpec
from segcore.data.augment import Augment
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
    _legend(sheet, split, dataset.classes)
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


def augmentation_sheet(
    dataset: Dataset,
    augment: Augment,
    count: int,
    *,
    size: Size,
    epochs: int = 5,
    seed: int = 0,
    shown: int = 192,
) -> Image.Image:
    """Training samples as they are and as the first epochs of a training see them: for each sample
    a row of images, one of the truth over them, and one of depth where there is any.

    Args:
        dataset: an open data set with training images.
        augment: what happens to them.
        count: how many samples, spread evenly over the split; at most as many as there are.
        size: that they are augmented at, height and width: a network's input.
        epochs: columns beside the first one.
        seed: of the training.
        shown: height of each picture, pixels.
    """
    ids = dataset.ids("train")
    count = min(count, len(ids))
    lines = []
    for index in (i * len(ids) // count for i in range(count)):
        sample = dataset.load("train", ids[index], size)
        seen = [augment.apply(sample, seed=seed, epoch=e + 1, index=index) for e in range(epochs)]
        drawn = [sample, *seen]
        lines.append([s.image_HW3 for s in drawn])
        lines.append([overlay(s.image_HW3, s.labels_HW, dataset.classes) for s in drawn])
        depths = [s.depth_HW for s in drawn if s.depth_HW is not None]
        if depths:
            lines.append([np.repeat(d[..., None], 3, axis=2) for d in depths])
    width = round(shown * size[1] / size[0])
    sheet = Image.new(
        "RGB",
        ((epochs + 1) * (width + GAP) - GAP, 2 * BAR + len(lines) * (shown + GAP) - GAP),
    )
    _legend(sheet, "train", dataset.classes)
    pen = ImageDraw.Draw(sheet)
    for column in range(epochs + 1):
        title = f"epoch {column}" if column else "as it is"
        pen.text((column * (width + GAP) + GAP, BAR + 3), title, fill=(255, 255, 255))
    how = Image.Resampling.BOX if shown < size[0] else Image.Resampling.NEAREST
    for row, line in enumerate(lines):
        for column, picture in enumerate(line):
            tile = Image.fromarray(picture).resize((width, shown), how)
            sheet.paste(tile, (column * (width + GAP), 2 * BAR + row * (shown + GAP)))
    return sheet


def _legend(sheet: Image.Image, title: str, classes: ClassSpec) -> None:
    """A title and the classes' colours, along the top."""
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 3), title, fill=(255, 255, 255))
    x = 3 * GAP + round(pen.textlength(title))
    for name in classes.foreground:
        pen.rectangle((x, 4, x + 10, 14), fill=classes.colour(name))
        pen.text((x + 14, 3), name, fill=(255, 255, 255))
        x += 24 + round(pen.textlength(name))


def _tile(sample: Sample, classes: ClassSpec) -> NDArray[np.uint8]:
    """Image, depth (black where there is none) and overlay of one sample, (H, 3W, 3)."""
    depth = sample.depth_HW if sample.depth_HW is not None else np.zeros_like(sample.labels_HW)
    truth = overlay(sample.image_HW3, sample.labels_HW, classes)
    return np.hstack([sample.image_HW3, np.repeat(depth[..., None], 3, axis=2), truth])
