"""The rows of the table of metrics that are of thin structures."""

from segcore.metrics.lines import cl_dice_of, line_distances, p2ilf_distance
from segcore.metrics.metric import Metric, Pair


def _cl_dice(pair: Pair) -> float:
    line, true_line = pair.centrelines
    return cl_dice_of((pair.prediction, line), (pair.truth, true_line), empty=float("nan"))


def _line_distance(pair: Pair) -> float:
    line, true_line = pair.centrelines
    if not line.any() or not true_line.any():
        return pair.distance_if_empty
    return line_distances(line, true_line).mean()


CL_DICE = Metric(
    name="cl_dice",
    label="clDice",
    about="Dice of the lines: how much of each one's centreline the other one covers; 1 is best.",
    protocol="per_image",
    direction="maximize",
    unit="fraction",
    compute=_cl_dice,
    shown=True,
    only_at_test=True,
)
LINE_DISTANCE = Metric(
    name="line_distance",
    label="Line distance",
    about="How far the two centrelines are apart on average.",
    protocol="centrelines_px",
    direction="minimize",
    unit="px",
    compute=_line_distance,
    only_at_test=True,
)
LINE_DISTANCE_P2ILF = Metric(
    name="line_distance",
    label="Line distance",
    about="P2ILF's symmetric distance: of what is near, and 10 px for what is missed.",
    protocol="p2ilf_10px",
    direction="minimize",
    unit="px",
    compute=lambda pair: p2ilf_distance(pair.prediction, pair.truth),
    only_at_test=True,
)
