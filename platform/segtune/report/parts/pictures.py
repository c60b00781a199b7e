"""Predictions: best, median and worst test images with what was predicted, and the errors."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from segtune.report.evidence.search_results import SearchResults
from segtune.report.page.look import CLASS_COLORS
from segtune.report.page.page import Block, Grid, GridRow, Part, PicturePair, Swatch
from segtune.report.parts.overlays import (
    CONFUSED,
    FALSE,
    MISSED,
    decode,
    encode,
    errors,
    overlay,
)
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores

MAX_COLUMNS = 5
"""Trials side by side; further ones go below."""
KINDS = {"image", "depth", "truth", "prediction"}
"""Pictures that every training keeps; others are a system's own."""
MOST_PICTURED = 4
"""Trials of a search that are pictured."""


@dataclass(frozen=True)
class Gallery:
    """The pictures of a study, and how they were chosen."""

    grid: Grid
    measure: Measure | None
    """Ranks the images; None where they were not scored."""
    split: str
    kept: int
    """Images of the split that a picture was kept of."""

    @property
    def score(self) -> str:
        """Name of the score."""
        return "score" if self.measure is None else self.measure.name

    @property
    def chosen(self) -> str:
        """Which images are shown, as a sentence."""
        return (
            f"Of the {self.kept} images of {self.split} that pictures are kept of (the same for "
            "every trial, chosen before anything was scored): the best, the one nearest to the "
            f"median and the worst by mean {self.score} over these trials, with their rank among "
            "all images; the split's very best and worst may not be pictured."
        )


def gallery(study: StudyScores, trials: Sequence[tuple[str, str]]) -> Gallery | None:
    """The best, the median and the worst of the pictured images, the same for every trial.

    Images are ranked by their scores, averaged over these trials; where images were not scored, the
    first three by name are shown.

    Args:
        study: its scores and pictures.
        trials: (heading, trial) per column.

    Returns:
        None where no picture was kept.
    """
    rows = study.rows
    pictures = rows.pictures[rows.pictures["trial_id"].isin([t for _, t in trials])]
    if pictures.empty:
        return None
    split = "test" if (pictures["split"] == "test").any() else str(pictures["split"].iloc[0])
    pictures = pictures[pictures["split"] == split]
    columns = (pictures[c] for c in ("trial_id", "sample_id", "kind", "png"))
    png = {(str(t), str(s), str(k)): bytes(p) for t, s, k, p in zip(*columns, strict=True)}
    there = [(head, t) for head, t in trials if any(key[0] == t for key in png)]
    measure = study.image_measure(split)
    scores = _image_scores(study, measure, split, [t for _, t in there])
    kept = {s for _, s, _ in png}
    sign = -1 if measure is not None and not measure.higher_is_better else 1
    chosen = choose_samples(kept, sign * scores.mean(axis=1))
    blocks = [
        _block(there[i : i + MAX_COLUMNS], chosen, png, scores, measure)
        for i in range(0, len(there), MAX_COLUMNS)
    ]
    truths = [p for (_, sample, kind), p in png.items()
              if kind == "truth" and sample in dict(chosen)]  # fmt: skip
    return Gallery(Grid(tuple(blocks), _legend(rows.classes, truths)), measure, split, len(kept))


def choose_samples(pictured: set[str], scores: "pd.Series[float]") -> tuple[tuple[str, str], ...]:
    """Which samples to show, and the rank of each among all that were scored.

    Args:
        pictured: samples that a picture was kept of.
        scores: by sample, larger is better; also of samples without a picture.

    Returns:
        (Sample, words) of the best of those pictured, of the others the one nearest to the median
        rank, and the worst; the words say their rank among all.
    """
    ranked = scores.dropna().sort_values(ascending=False, kind="stable")
    rank = {str(s): i + 1 for i, s in enumerate(ranked.index)}
    there = sorted(pictured & set(rank), key=lambda s: rank[s])
    if not there:
        return tuple((s, "") for s in sorted(pictured)[:3])
    middle = (len(rank) + 1) / 2
    words = {there[0]: "best pictured"}
    if len(there) > 1:
        words[there[-1]] = "worst pictured"
    if len(there) > 2:
        nearest = min(there[1:-1], key=lambda s: abs(rank[s] - middle))
        words[nearest] = "pictured nearest to the median"
    ordered = sorted(words, key=lambda s: rank[s])
    return tuple((s, f"{words[s]}: rank {rank[s]} of {len(rank)}") for s in ordered)


def _block(
    trials: Sequence[tuple[str, str]],
    samples: Sequence[tuple[str, str]],
    png: Mapping[tuple[str, str, str], bytes],
    scores: pd.DataFrame,
    measure: Measure | None,
) -> Block:
    found, scored = [], scores.stack().to_dict()
    for sample, label in samples:
        sources = {
            kind: next((png[key] for _, t in trials if (key := (t, sample, kind)) in png), None)
            for kind in ("image", "truth")
        }
        image = decode(sources["image"], Image.Resampling.LANCZOS)
        truth = decode(sources["truth"], Image.Resampling.NEAREST)
        marked = None if truth is None else overlay(_under(image, truth), truth, None)
        cells = [PicturePair(encode(image), encode(marked), sample, f"image and truth of {sample}")]
        for head, trial in trials:
            labels = decode(png.get((trial, sample, "prediction")), Image.Resampling.NEAREST)
            if labels is None:
                cells.append(
                    PicturePair("", "", "no picture", f"no prediction of {head} for {sample}")
                )
                continue
            under = _under(image, labels)
            wrong = None if truth is None else overlay(under, errors(labels, truth), None)
            score = scored.get((sample, trial), np.nan)
            cells.append(
                PicturePair(
                    encode(overlay(under, labels, truth)),
                    encode(wrong),
                    _note(score, measure),
                    f"prediction of {head} for {sample}, and its errors",
                )
            )
        found.append(GridRow(label, tuple(cells)))
        found += [_map_row(kind, sample, cells[0], trials, png) for kind in _maps(png, sample)]
    return Block(("image, truth", *(head for head, _ in trials)), tuple(found))


def _maps(png: Mapping[tuple[str, str, str], bytes], sample: str) -> list[str]:
    """Names of the pictures of a system's own, such as its uncertainty."""
    return sorted({kind for _, s, kind in png if s == sample} - KINDS)


def _map_row(
    kind: str,
    sample: str,
    first: PicturePair,
    trials: Sequence[tuple[str, str]],
    png: Mapping[tuple[str, str, str], bytes],
) -> GridRow:
    """A system's own picture of a sample, by trial; those without it have an empty cell."""
    cells = [replace(first, below="")]
    for head, trial in trials:
        grey = decode(png.get((trial, sample, kind)), Image.Resampling.BILINEAR)
        cells.append(PicturePair(encode(grey), "", "", f"{kind} of {head} for {sample}"))
    return GridRow(f"{kind} (white is 1)", tuple(cells))


def _note(score: float, measure: Measure | None) -> str:
    if measure is None or np.isnan(score):
        return ""
    return f"{measure.name} {score:.{measure.digits}f}"


def _under(image_HW3: NDArray[np.uint8] | None, other_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.zeros_like(other_HW3) if image_HW3 is None else image_HW3


def _image_scores(
    study: StudyScores, measure: Measure | None, split: str, trials: Sequence[str]
) -> pd.DataFrame:
    """Scores by sample and trial: mean over the classes that the image defines."""
    if measure is None:
        return pd.DataFrame()
    means = study.image_means(measure, split)
    means = means[means["trial_id"].isin(trials)]
    return means.set_index(["sample_id", "trial_id"])["value"].unstack("trial_id")


def _legend(classes: Sequence[str], truths: Sequence[bytes]) -> tuple[Swatch, ...]:
    """Colours of the known classes, of the truth's other colours, and of the errors."""
    known = [Swatch(c, _css(CLASS_COLORS[c])) for c in classes if c in CLASS_COLORS]
    found = set()
    for png in truths:
        with Image.open(io.BytesIO(png)) as image:
            colors = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
        found |= {tuple(int(v) for v in c) for c in colors}
    named = {CLASS_COLORS[c] for c in classes if c in CLASS_COLORS}
    unnamed = sorted(found - {(0, 0, 0)} - named)
    others = [c for c in classes if c not in CLASS_COLORS]
    names = f"one of {', '.join(others)}" if len(others) > 1 else "".join(others) or "unnamed class"
    wrong = (("missed", MISSED), ("not there", FALSE), ("another class", CONFUSED))
    return (
        *known,
        *(Swatch(names, _css(c)) for c in unnamed),
        *(Swatch(f"error: {name}", _css(c)) for name, c in wrong),
    )


def _css(color: Sequence[int]) -> str:
    return f"rgb({', '.join(map(str, color))})"


def arms_gallery_part(study: StudyScores) -> Part:
    """Best, median and worst of the pictured images, for every arm."""
    rows, title = study.rows, "Predictions"
    trials: list[tuple[str, str]] = []
    for arm in rows.arms:
        of_arm = rows.of("arm", arm=arm, status="finished")
        of_arm = of_arm[of_arm["trial_id"].isin(rows.pictures["trial_id"])]
        if len(of_arm):
            trials.append(
                (f"{arm}, seed {of_arm['seed'].iloc[0]}", str(of_arm["trial_id"].iloc[0]))
            )
    found = gallery(study, trials)
    if found is None:
        return Part(title, missing="No picture was kept yet: they come with the final evaluation.")
    return Part(
        title,
        f"{found.chosen} The first finished seed of each arm. Above: prediction in colour, "
        "outline of the truth in white; below: errors. Examples, not evidence. "
        f"{found.score[0].upper()}{found.score[1:]} of an image: mean over the classes that define "
        "it.",
        grid=found.grid,
    )


def search_gallery_part(study: StudyScores, search: SearchResults) -> Part:
    """Best, median and worst of the pictured images, for the best trials of a search."""
    found = gallery(study, [(f"t{t.number}", t.trial_id) for t in search.best(MOST_PICTURED)])
    if found is None:
        return Part("Predictions", missing="No picture of the best trials was kept.")
    return Part(
        "Predictions",
        f"{found.chosen} The {MOST_PICTURED} best trials at most. "
        "Above: prediction in colour, outline of the truth in white; below: errors.",
        grid=found.grid,
    )
