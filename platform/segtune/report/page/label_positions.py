"""Where to write names next to points so that they do not cover one another."""

from collections.abc import Sequence

_CHARACTER, _LINE, _GAP = 7.0, 15.0, 8.0
"""Width and height of text at the size used, and its distance from a point; pixels."""
_POSITIONS = {
    "top center": (-0.5, 1.0, 0.0, 1.0),
    "bottom center": (-0.5, -1.0, 0.0, -1.0),
    "middle right": (0.0, 0.0, 1.0, 0.0),
    "middle left": (-1.0, 0.0, -1.0, 0.0),
    "top right": (0.0, 1.0, 0.5, 1.0),
    "top left": (-1.0, 1.0, -0.5, 1.0),
    "bottom right": (0.0, -1.0, 0.5, -1.0),
    "bottom left": (-1.0, -1.0, -0.5, -1.0),
}
"""Plotly's name -> left edge in widths, side of the line, shift in gaps along x and y."""

_MOST = 0.08
"""Share of a name that may cover other names and marks, or lie outside: beyond it is unreadable."""

Box = tuple[float, float, float, float]


def text_positions(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    size: tuple[float, float],
    bars: Sequence[Box] = (),
    first: Sequence[bool] = (),
) -> list[str]:
    """A `textposition` per point, chosen one after another to cover as little as possible.

    Empty where a name would cover others, or their marks, wherever it stands: a legend or a hover
    has to say it.

    Args:
        points: positions in the panel as fractions of its size, y upwards.
        texts: what is written at each.
        size: width and height of the panel, pixels.
        bars: other things not to be covered, from (x, y) to (x, y) as fractions.
        first: points whose names are placed before the others'.
    """
    at = [(x * size[0], y * size[1]) for x, y in points]
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in at]
    lines = [
        (a * size[0] - 2, b * size[1] - 2, c * size[0] + 2, d * size[1] + 2) for a, b, c, d in bars
    ]
    chosen = [""] * len(points)
    later = [not f for f in first] or [True] * len(points)
    for i in sorted(range(len(at)), key=lambda k: (later[k], at[k][1], at[k][0])):
        boxes = {p: _box(at[i], texts[i], p) for p in _POSITIONS}
        others = taken[:i] + taken[i + 1 :]
        best = min(boxes, key=lambda p: _cover(boxes[p], others + lines, size))
        if _cover(boxes[best], others, size) <= _MOST * _CHARACTER * len(texts[i]) * _LINE:
            chosen[i] = best
            taken.append(boxes[best])
    return chosen


def _box(point: tuple[float, float], text: str, position: str) -> Box:
    left, side, shift_x, shift_y = _POSITIONS[position]
    width = _CHARACTER * len(text)
    x = point[0] + left * width + shift_x * _GAP
    y = point[1] + shift_y * _GAP + (side - 1) / 2 * _LINE
    return x, y, x + width, y + _LINE


def _cover(box: Box, others: Sequence[Box], size: tuple[float, float]) -> float:
    """Area that is covered or that lies outside the panel, square pixels."""
    covered = sum(_overlap(box, other) for other in others)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return covered + 2 * (area - _overlap(box, (0.0, 0.0, size[0], size[1])))


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
