"""Predictions drawn over images, composed when the report is built."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from segtune.report.load import MACRO, StudyRows
from segtune.report.measures import choose, select
from segtune.report.style import CLASS_COLORS

SIDE = 256
"""Of a composed picture, pixels."""
FILL = 0.6
"""Share of the colour where the prediction lies."""
CONTOUR = (255, 255, 255)
MAX_SAMPLES = 6
MAX_COLUMNS = 5
"""Trials side by side; further ones go below."""


@dataclass(frozen=True)
class Cell:
    """One picture of the grid."""

    src: str
    """A data address; empty where the trial left no such picture."""
    note: str
    """What is written below it."""
    alt: str


@dataclass(frozen=True)
class Block:
    """A grid whose rows are samples and whose columns are image, truth and trials."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Legend:
    """A colour and what it stands for."""

    name: str
    color: str


@dataclass(frozen=True)
class Grid:
    """All pictures of a study."""

    blocks: tuple[Block, ...]
    legend: tuple[Legend, ...]
    split: str


def grid(rows: StudyRows, trials: Sequence[tuple[str, str]]) -> Grid | None:
    """Image, truth and the predictions of some trials for the samples that they share.

    Args:
        rows: the study.
        trials: (heading, trial) per column.

    Returns:
        None where no picture was kept.
    """
    pictures = rows.pictures[rows.pictures["trial_id"].isin([t for _, t in trials])]
    if pictures.empty:
        return None
    split = "test" if (pictures["split"] == "test").any() else str(pictures["split"].iloc[0])
    pictures = pictures[pictures["split"] == split]
    png = {
        (str(t), str(s), str(k)): bytes(p)
        for t, s, k, p in zip(
            pictures["trial_id"],
            pictures["sample_id"],
            pictures["kind"],
            pictures["png"],
            strict=True,
        )
    }
    samples = sorted({s for _, s, _ in png})[:MAX_SAMPLES]
    scores = _image_scores(rows, split)
    there = [(head, t) for head, t in trials if any(key[0] == t for key in png)]
    blocks = [
        _block(there[i : i + MAX_COLUMNS], samples, png, scores)
        for i in range(0, len(there), MAX_COLUMNS)
    ]
    truths = [p for (_, _, kind), p in png.items() if kind == "truth"]
    return Grid(tuple(blocks), _legend(rows.classes, truths), split)


def overlay(
    image_HW3: NDArray[np.uint8],
    labels_HW3: NDArray[np.uint8] | None,
    truth_HW3: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """Labels in half-transparent colour over the image, and around the truth a thin white line."""
    out_HW3 = image_HW3.astype(np.float32)
    if labels_HW3 is not None:
        marked_HW = labels_HW3.any(axis=2)
        out_HW3[marked_HW] = (1 - FILL) * out_HW3[marked_HW] + FILL * labels_HW3[marked_HW]
    if truth_HW3 is not None:
        out_HW3[contour(truth_HW3)] = CONTOUR
    return out_HW3.round().astype(np.uint8)


def contour(labels_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Coloured pixels that touch a pixel of another colour, (H, W)."""
    height, width = labels_HW3.shape[:2]
    edge_HW = np.zeros((height, width), dtype=bool)
    padded = np.pad(labels_HW3, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        shifted_HW3 = padded[dy : dy + height, dx : dx + width]
        edge_HW |= (shifted_HW3 != labels_HW3).any(axis=2)
    return np.asarray(edge_HW & labels_HW3.any(axis=2))


def _block(
    trials: Sequence[tuple[str, str]],
    samples: Sequence[str],
    png: Mapping[tuple[str, str, str], bytes],
    scores: Mapping[tuple[str, str], float],
) -> Block:
    grid_rows = []
    for sample in samples:
        sources = {
            kind: next((png[key] for _, t in trials if (key := (t, sample, kind)) in png), None)
            for kind in ("image", "truth")
        }
        image = _decode(sources["image"], Image.Resampling.LANCZOS)
        truth = _decode(sources["truth"], Image.Resampling.NEAREST)
        cells = [_cell(image, sample, f"image {sample}"), _cell(truth, "", f"truth of {sample}")]
        for head, trial in trials:
            labels = _decode(png.get((trial, sample, "prediction")), Image.Resampling.NEAREST)
            if labels is None:
                cells.append(Cell("", "no picture", f"no prediction of {head} for {sample}"))
                continue
            under = np.zeros_like(labels) if image is None else image
            score = scores.get((trial, sample))
            note = "" if score is None else f"Dice {score:.3f}"
            cells.append(
                _cell(overlay(under, labels, truth), note, f"prediction of {head} for {sample}")
            )
        grid_rows.append(tuple(cells))
    return Block(("image", "truth", *(head for head, _ in trials)), tuple(grid_rows))


def _cell(picture: NDArray[np.uint8] | None, note: str, alt: str) -> Cell:
    return Cell("" if picture is None else _encode(picture), note, alt)


def _decode(png: bytes | None, resample: Image.Resampling) -> NDArray[np.uint8] | None:
    if png is None:
        return None
    with Image.open(io.BytesIO(png)) as image:
        sized = image.convert("RGB").resize((SIDE, SIDE), resample)
    return np.asarray(sized, dtype=np.uint8)


def _encode(picture: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _image_scores(rows: StudyRows, split: str) -> dict[tuple[str, str], float]:
    """(trial, sample) -> Dice, mean over the classes that the image defines it for."""
    measure = choose(rows, "dice", split)
    if measure is None:
        return {}
    images: pd.DataFrame = select(rows.images, measure, split)
    images = images[images["class_name"].isin(rows.classes) & (images["class_name"] != MACRO)]
    mean = images.groupby(["trial_id", "sample_id"])["value"].mean().dropna()
    trial_ids, sample_ids = mean.index.get_level_values(0), mean.index.get_level_values(1)
    return {(str(t), str(s)): float(v) for t, s, v in zip(trial_ids, sample_ids, mean, strict=True)}


def _legend(classes: Sequence[str], truths: Sequence[bytes]) -> tuple[Legend, ...]:
    """Known classes by name; colours of the truth that no known class has stay unnamed."""
    known = [Legend(c, _css(CLASS_COLORS[c])) for c in classes if c in CLASS_COLORS]
    found = set()
    for png in truths:
        with Image.open(io.BytesIO(png)) as image:
            colors = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
        found |= {tuple(int(v) for v in c) for c in colors}
    unnamed = sorted(found - {(0, 0, 0)} - set(CLASS_COLORS.values()))
    others = [c for c in classes if c not in CLASS_COLORS]
    names = f"one of {', '.join(others)}" if len(others) > 1 else "".join(others) or "unnamed class"
    return (*known, *(Legend(names, _css(c)) for c in unnamed))


def _css(color: Sequence[int]) -> str:
    return f"rgb({', '.join(map(str, color))})"
