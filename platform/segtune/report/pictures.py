"""Best, median and worst test images with predictions and errors, composed for the page."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from segtune.report.style import CLASS_COLORS
from segtune.results.measures import choose, select
from segtune.results.study_rows import StudyRows

SIDE = 256
"""Of a composed picture, pixels."""
FILL = 0.6
"""Share of the colour where a class or an error lies."""
CONTOUR = (255, 255, 255)
MISSED, FALSE, CONFUSED = (255, 176, 0), (0, 190, 255), (190, 90, 255)
"""Amber, sky blue and violet: apart for colour-blind readers, and from tissue."""
MAX_COLUMNS = 5
"""Trials side by side; further ones go below."""


@dataclass(frozen=True)
class Cell:
    """Two pictures, one above the other, of one sample and trial."""

    above: str
    """The prediction as a data address (of the first column: the image); empty where the trial
    left no such picture."""
    below: str
    """Its errors (of the first column: the truth)."""
    note: str
    """What is written below them."""
    alt: str


@dataclass(frozen=True)
class Row:
    """One sample."""

    label: str
    """Where it stands among all images that were scored."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """A grid whose rows are samples and whose columns are the sample itself and trials."""

    heads: tuple[str, ...]
    rows: tuple[Row, ...]


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
    kept: int
    """Images of the split that a picture was kept of."""

    @property
    def chosen(self) -> str:
        """Which images are shown, as a sentence."""
        return (
            f"Of the {self.kept} images of {self.split} that pictures are kept of (the same for "
            "every trial, chosen before anything was scored): the best, the one nearest to the "
            "median and the worst by mean Dice over these trials, with their rank among all "
            "images; the split's very best and worst may not be pictured."
        )


def grid(rows: StudyRows, trials: Sequence[tuple[str, str]]) -> Grid | None:
    """The best, the median and the worst of the pictured images, the same for every trial.

    Told by the mean over these trials of an image's Dice; where images were not scored, the first
    three by name.

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
    columns = (pictures[c] for c in ("trial_id", "sample_id", "kind", "png"))
    png = {(str(t), str(s), str(k)): bytes(p) for t, s, k, p in zip(*columns, strict=True)}
    there = [(head, t) for head, t in trials if any(key[0] == t for key in png)]
    scores = _image_scores(rows, split, [t for _, t in there])
    kept = {s for _, s, _ in png}
    chosen = choose_samples(kept, scores.mean(axis=1))
    blocks = [
        _block(there[i : i + MAX_COLUMNS], chosen, png, scores)
        for i in range(0, len(there), MAX_COLUMNS)
    ]
    truths = [p for (_, sample, kind), p in png.items()
              if kind == "truth" and sample in dict(chosen)]  # fmt: skip
    return Grid(tuple(blocks), _legend(rows.classes, truths), split, len(kept))


def choose_samples(pictured: set[str], scores: "pd.Series[float]") -> tuple[tuple[str, str], ...]:
    """Which samples to show, and where each stands among all that were scored.

    Args:
        pictured: samples that a picture was kept of.
        scores: Dice by sample; also of samples without a picture.

    Returns:
        (Sample, words) of the best of those pictured, of the others the one nearest to the median
        rank, and the worst; the words say their rank among all.
    """
    ranked = scores.dropna().sort_values(ascending=False, kind="stable")
    place = {str(s): i + 1 for i, s in enumerate(ranked.index)}
    there = sorted(pictured & set(place), key=lambda s: place[s])
    if not there:
        return tuple((s, "") for s in sorted(pictured)[:3])
    middle = (len(place) + 1) / 2
    words = {there[0]: "best pictured"}
    if len(there) > 1:
        words[there[-1]] = "worst pictured"
    if len(there) > 2:
        nearest = min(there[1:-1], key=lambda s: abs(place[s] - middle))
        words[nearest] = "pictured nearest to the median"
    ordered = sorted(words, key=lambda s: place[s])
    return tuple((s, f"{words[s]}: rank {place[s]} of {len(place)}") for s in ordered)


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


def errors(labels_HW3: NDArray[np.uint8], truth_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours of what was missed, of what is not there, and of one class taken for another."""
    there_HW, said_HW = truth_HW3.any(axis=2), labels_HW3.any(axis=2)
    out_HW3 = np.zeros_like(labels_HW3)
    out_HW3[there_HW & ~said_HW] = MISSED
    out_HW3[said_HW & ~there_HW] = FALSE
    out_HW3[there_HW & said_HW & (labels_HW3 != truth_HW3).any(axis=2)] = CONFUSED
    return out_HW3


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
    samples: Sequence[tuple[str, str]],
    png: Mapping[tuple[str, str, str], bytes],
    scores: pd.DataFrame,
) -> Block:
    found, scored = [], scores.stack().to_dict()
    for sample, label in samples:
        sources = {
            kind: next((png[key] for _, t in trials if (key := (t, sample, kind)) in png), None)
            for kind in ("image", "truth")
        }
        image = _decode(sources["image"], Image.Resampling.LANCZOS)
        truth = _decode(sources["truth"], Image.Resampling.NEAREST)
        marked = None if truth is None else overlay(_under(image, truth), truth, None)
        cells = [Cell(_encode(image), _encode(marked), sample, f"image and truth of {sample}")]
        for head, trial in trials:
            labels = _decode(png.get((trial, sample, "prediction")), Image.Resampling.NEAREST)
            if labels is None:
                cells.append(Cell("", "", "no picture", f"no prediction of {head} for {sample}"))
                continue
            under = _under(image, labels)
            wrong = None if truth is None else overlay(under, errors(labels, truth), None)
            score = scored.get((sample, trial), np.nan)
            cells.append(
                Cell(
                    _encode(overlay(under, labels, truth)),
                    _encode(wrong),
                    "" if np.isnan(score) else f"Dice {score:.3f}",
                    f"prediction of {head} for {sample}, and its errors",
                )
            )
        found.append(Row(label, tuple(cells)))
    return Block(("image, truth", *(head for head, _ in trials)), tuple(found))


def _under(image_HW3: NDArray[np.uint8] | None, other_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros_like(other_HW3) if image_HW3 is None else image_HW3


def _decode(png: bytes | None, resample: Image.Resampling) -> NDArray[np.uint8] | None:
    if png is None:
        return None
    with Image.open(io.BytesIO(png)) as image:
        sized = image.convert("RGB").resize((SIDE, SIDE), resample)
    return np.asarray(sized, dtype=np.uint8)


def _encode(picture: NDArray[np.uint8] | None) -> str:
    """WebP: a tenth of the size of PNG for photographs, which decides the size of the page."""
    if picture is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _image_scores(rows: StudyRows, split: str, trials: Sequence[str]) -> pd.DataFrame:
    """Dice by sample and trial: mean over the classes that the image defines it for."""
    measure = choose(rows, "dice", split)
    if measure is None:
        return pd.DataFrame()
    images = select(rows.images, measure, split)
    images = images[images["class_name"].isin(rows.classes) & images["trial_id"].isin(trials)]
    return images.groupby(["sample_id", "trial_id"])["value"].mean().unstack("trial_id")


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
    wrong = (("missed", MISSED), ("not there", FALSE), ("another class", CONFUSED))
    return (
        *known,
        *(Legend(names, _css(c)) for c in unnamed),
        *(Legend(f"error: {name}", _css(c)) for name, c in wrong),
    )


def _css(color: Sequence[int]) -> str:
    return f"rgb({', '.join(map(str, color))})"
