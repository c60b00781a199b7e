"""How masks that are empty count in the scores of a study."""

from segtune.results.study_rows import StudyRows

_DISTANCES = (
    "Distances: one empty mask counts as the image's diagonal, a bound of every distance; an image "
    "where both are empty is not counted."
)
_EMPTY = {
    "per_image": "Overlap: one empty mask scores 0; an image where truth and prediction are both "
    "empty is not counted.",
    "per_class_px": _DISTANCES,
    "pooled": _DISTANCES,
    "max_of_directed": _DISTANCES,
    "adaptive": "F-measure: an image whose truth is empty is not counted.",
    "probabilities": "S-measure, E-measure, MAE: where the truth is empty they say how much of the "
    "image is left unmarked.",
}
"""What an empty mask scores under the protocols that this project writes."""


def empty_masks(rows: StudyRows) -> str:
    """What an empty mask scores, and how many scores of images are undefined."""
    return f"{_empty(rows)} {_undefined(rows)}".strip()


def _empty(rows: StudyRows) -> str:
    """What an empty mask scores, for each protocol that the tables have."""
    protocols = sorted({str(p) for p in rows.scores["protocol"].unique()})
    known = dict.fromkeys(_EMPTY[p] for p in protocols if p in _EMPTY)
    return " ".join(known) or "What an empty mask scores is a matter of the protocol."


def _undefined(rows: StudyRows) -> str:
    """How many image scores are not a number, by metric, counted from the tables."""
    images = rows.images
    if images.empty:
        return ""
    undefined = images["value"].isna().groupby(images["metric"]).agg(["sum", "size"])
    undefined = undefined[undefined["sum"] > 0]
    if undefined.empty:
        return "Here every image defines every score."
    shown = [f"{metric} {row['sum']} of {row['size']}" for metric, row in undefined.iterrows()]
    return f"Here undefined, over all trials, images and classes: {', '.join(shown)}."
