"""Masks as pictures: from grey levels or colours to labels, and what is odd about them.

Labels are coded as in `Sample`: with one class bit 0 (no background channel), else class indices.
Shape suffixes: H W image, 3 RGB.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.data.pixels import opened

TOLERATED = 0.02
"""Share of a mask's pixels that may be odd where no stretch of them is of one value: soft or
antialiased borders are so."""
PLAIN_MODE = {"1": "L", "LA": "L", "RGBA": "RGB"}
"""Pillow's mode that says the same without transparency or packed bits."""
SUMS = frozenset({"pooled", "macro"})
"""What the tables call all classes as one, and the mean over them: no class may be called so."""
UNKNOWN = 255
"""Label of a value that no class has."""

IGNORE = "ignore"
"""What stands in the place of a class for pixels whose truth nobody knows."""

Raw = NDArray[np.uint8] | NDArray[np.uint16]
"""Grey levels or palette indices (H, W), or colours (H, W, 3)."""
Grey = tuple[int, int]
"""Grey levels from the first to the last, both included."""
Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Colours from the first to the second in every channel, both included."""


def class_spec(names: tuple[str, ...]) -> ClassSpec:
    """One class: no background channel. Several in one picture exclude one another."""
    if len(names) == 1:
        return ClassSpec(names, exclusive=False)
    return ClassSpec(("background", *names), exclusive=True)


class MaskCode(Protocol):
    """What the values of a mask picture mean."""

    indexed: ClassVar[bool]
    """Whether a palette picture is its indices; else it is their colours."""

    @property
    def unknown(self) -> tuple[Grey, ...] | tuple[Box, ...]:
        """The values of pixels whose truth nobody knows."""
        ...

    @property
    def classes(self) -> ClassSpec:
        """The classes in their order."""
        ...

    def labels(self, raw: Raw) -> NDArray[np.uint8]:
        """Labels (H, W); 0 where nobody knows."""
        ...

    def ignored(self, raw: Raw) -> NDArray[np.bool_] | None:
        """Where nobody knows the truth, (H, W); None: no value says so."""
        ...

    def odd(self, raw: Raw) -> str | None:
        """What says that the picture is no mask of this kind; None where all is well."""
        ...


@dataclass(frozen=True)
class GreyMask:
    """Classes told apart by grey level, or by index in a palette."""

    indexed: ClassVar[bool] = True

    values: tuple[tuple[str, tuple[Grey, ...]], ...]
    """Grey levels of each class, in the order of the classes."""
    background: tuple[Grey, ...]
    unknown: tuple[Grey, ...] = ()
    """Of pixels whose truth nobody knows."""

    @property
    def classes(self) -> ClassSpec:
        """The classes in their order."""
        return class_spec(tuple(name for name, _ in self.values))

    def labels(self, raw: Raw) -> NDArray[np.uint8]:
        """Labels; a level that no class has is background."""
        labels = self._table()[_grey(raw)]
        labels[labels == UNKNOWN] = 0
        return labels

    def ignored(self, raw: Raw) -> NDArray[np.bool_] | None:
        """Where the level is one of those."""
        if not self.unknown:
            return None
        grey = _grey(raw)
        there = np.zeros(grey.shape, bool)
        for first, last in self.unknown:
            there |= (grey >= first) & (grey <= last)
        return there

    def odd(self, raw: Raw) -> str | None:
        """Colours, levels that no class has, or a mask that was scaled to other levels."""
        if raw.ndim == 3 and (raw != raw[..., :1]).any():
            return "has colours, expected grey levels"
        grey = _grey(raw)
        unknown = self._table()[grey] == UNKNOWN
        if unknown.mean() > TOLERATED or _solid(grey, unknown):
            told = _listed(np.unique(grey[unknown]))
            return f"{unknown.mean():.1%} of the pixels have levels of no class: {told}"
        return None

    def _table(self) -> NDArray[np.uint8]:
        table = np.full(2**16, UNKNOWN, np.uint8)
        for first, last in (*self.background, *self.unknown):
            table[first : last + 1] = 0
        for k, (_, levels) in enumerate(self.values):
            for first, last in levels:
                table[first : last + 1] = k + 1
        return table


@dataclass(frozen=True)
class BinaryMask:
    """One class, white on black, with the soft levels that JPEG and resizing leave.

    Kvasir-SEG's JPEG masks hold 0..7 and 248..255; a threshold in the middle is what their
    authors meant (DengPingFan/PraNet#54).
    """

    indexed: ClassVar[bool] = False
    unknown: ClassVar[tuple[Grey, ...]] = ()

    name: str

    @property
    def classes(self) -> ClassSpec:
        """The one class."""
        return class_spec((self.name,))

    def labels(self, raw: Raw) -> NDArray[np.uint8]:
        """1 where the mask is lighter than middle grey."""
        return (_grey(raw) >= 128).astype(np.uint8)

    def ignored(self, raw: Raw) -> NDArray[np.bool_] | None:
        """No value says so."""
        return None

    def odd(self, raw: Raw) -> str | None:
        """Colours, many middle levels, or a mask that never reaches white."""
        if raw.ndim == 3 and np.ptp(raw.astype(int), axis=2).max() > 16:
            return "has colours, expected black and white"
        grey = _grey(raw)
        middle = ((grey > 16) & (grey < 239)).mean()
        if middle > TOLERATED:
            return f"{middle:.1%} of the pixels are neither black nor white"
        if 0 < grey.max() < 128:
            return f"holds nothing lighter than {grey.max()}, expected 0 and 255"
        return None


@dataclass(frozen=True)
class ColourMask:
    """Classes told apart by colour."""

    indexed: ClassVar[bool] = False

    boxes: tuple[tuple[str, tuple[Box, ...]], ...]
    """Colours of each class, in the order of the classes; where two overlap the later wins."""
    ground: Box = ((0, 0, 0), (99, 99, 99))
    """Colours of the background."""
    unknown: tuple[Box, ...] = ()
    """Colours of pixels whose truth nobody knows; a class that overlaps with them gives way."""
    opening: int = 0
    """Side of the square that a stretch of colour must hold to count, pixels; 0: any does."""

    @property
    def classes(self) -> ClassSpec:
        """The classes in their order."""
        return class_spec(tuple(name for name, _ in self.boxes))

    def labels(self, raw: Raw) -> NDArray[np.uint8]:
        """Labels; a colour that no class has is background."""
        colours = _colours(raw)
        labels_HW = np.zeros(raw.shape[:2], np.uint8)
        for k, (_, boxes) in enumerate(self.boxes):
            for low, high in boxes:
                inside = cv2.inRange(colours, low, high)
                if self.opening:
                    square = np.ones((self.opening, self.opening), np.uint8)
                    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, square)
                labels_HW[inside > 0] = k + 1
        if (ignored_HW := self.ignored(raw)) is not None:
            labels_HW[ignored_HW] = 0
        return labels_HW

    def ignored(self, raw: Raw) -> NDArray[np.bool_] | None:
        """Where the colour is one of those."""
        if not self.unknown:
            return None
        colours = _colours(raw)
        there = np.zeros(raw.shape[:2], bool)
        for box in self.unknown:
            there |= cv2.inRange(colours, *box) > 0
        return there

    def odd(self, raw: Raw) -> str | None:
        """Many pixels of a colour that neither a class nor the background has."""
        colours = _colours(raw)
        known = cv2.inRange(colours, *self.ground) > 0
        for boxes in (*(boxes for _, boxes in self.boxes), self.unknown):
            for low, high in boxes:
                known |= cv2.inRange(colours, low, high) > 0
        share = 1 - known.mean()
        if share <= TOLERATED and not _solid(colours, ~known):
            return None
        found, counts = np.unique(colours[~known], axis=0, return_counts=True)
        most = "#{:02x}{:02x}{:02x}".format(*found[counts.argmax()])
        return f"{share:.1%} of the pixels have colours of no class, most often {most}"


def read_mask(source: Path | bytes, *, indexed: bool) -> Raw:
    """The values of a mask picture as stored.

    Args:
        source: a file, or its bytes.
        indexed: whether a palette picture is its indices; else it is their colours.

    Raises:
        OSError: no picture, or a damaged one.
        ValueError: a kind of picture that cannot be a mask.
    """
    with opened(source) as picture:
        picture.load()
        mode = PLAIN_MODE.get(picture.mode, picture.mode)
        if picture.mode == "P" and not indexed:
            mode = "RGB"
        values = np.array(picture if mode == picture.mode else picture.convert(mode))
    if mode in ("L", "P", "RGB"):
        return values.astype(np.uint8, copy=False)
    if values.ndim == 2 and values.dtype.kind in "iu" and 0 <= values.min() <= values.max() < 2**16:
        return values.astype(np.uint16)
    raise ValueError(f"a picture of mode {mode} is no mask")


def parse_code(classes: tuple[str, ...]) -> GreyMask | ColourMask:
    """What `name=values` texts say: see the data set `folder` for their form.

    Raises:
        ValueError: names every text that cannot be read.
    """
    grey: dict[str, tuple[Grey, ...]] = {}
    boxes: dict[str, tuple[Box, ...]] = {}
    wrong = []
    for text in classes:
        name, _, values = text.partition("=")
        parts = values.split("|")
        if not name or name in grey | boxes:
            wrong.append(f"{text!r} (a name that is empty or there twice)")
        elif all(re.fullmatch(r"#[0-9a-fA-F]{6}", p) for p in parts):
            exact = (tuple(bytes.fromhex(p[1:])) for p in parts)
            boxes[name] = tuple((c, c) for c in exact)  # type: ignore[misc]
        elif all(re.fullmatch(r"\d{1,5}(\.\.\d{1,5})?", p) for p in parts):
            ends = ([int(v) for v in p.split("..")] for p in parts)
            grey[name] = tuple((e[0], e[-1]) for e in ends)
            if any(not first <= last < 2**16 for first, last in grey[name]):
                wrong.append(f"{text!r} (a range that ends before it starts, or beyond 65535)")
        else:
            wrong.append(repr(text))
    if grey and boxes:
        wrong.append("grey levels and colours together")
    if not wrong and not (grey or boxes).keys() - {"background", IGNORE}:
        wrong.append("no class but the background")
    wrong += [
        f"{a} and {b} (they share values)"
        for (a, of_a), (b, of_b) in (
            *combinations(grey.items(), 2),
            *combinations(boxes.items(), 2),
        )
        # Of two colours each is at most the other only where they are equal.
        if any(a0 <= b1 and b0 <= a1 for a0, a1 in of_a for b0, b1 in of_b)  # type: ignore[operator]
    ]
    wrong += [
        f"{name!r} (the tables call a sum of classes so)"
        for name in (*grey, *boxes)
        if name in SUMS
    ]
    if wrong:
        raise ValueError(
            f"classes: cannot use {', '.join(wrong)}: write 'name=values', values being grey "
            "levels (1, 128..255) or colours (#ff0000), several with | between"
        )
    if grey:
        unknown = grey.pop(IGNORE, ())
        background = grey.pop("background", None)
        if background is None:  # 0, unless that says that nobody knows
            background = () if any(first == 0 for first, _ in unknown) else ((0, 0),)
        return GreyMask(tuple(grey.items()), background, unknown)
    unknown_colours = boxes.pop(IGNORE, ())
    ground = boxes.pop("background", (((0, 0, 0), (0, 0, 0)),))
    if len(ground) > 1:
        raise ValueError("classes: the background can have one colour only")
    return ColourMask(tuple(boxes.items()), ground[0], unknown_colours)


def held_values(masks: Iterable[Raw]) -> str:
    """The grey levels or colours of some masks, as `classes` of a folder writes them: some six."""
    found: set[tuple[int, ...]] = set()
    for raw in masks:
        values = np.unique(raw.reshape(-1, 3), axis=0) if raw.ndim == 3 else np.unique(raw)[:, None]
        found.update(map(tuple, values.tolist()))
    texts = [f"#{bytes(v).hex()}" if len(v) == 3 else str(v[0]) for v in sorted(found)]
    return _listed(texts)


def _grey(raw: Raw) -> Raw:
    return raw[..., 0] if raw.ndim == 3 else raw


def _listed(values: Raw | Sequence[str]) -> str:
    told = ", ".join(str(v) for v in values[:6])
    return told + (f" and {len(values) - 6} more" if len(values) > 6 else "")


def _solid(values: Raw, unknown_HW: NDArray[np.bool_]) -> bool:
    """Whether 3 x 3 pixels somewhere have one unknown value: a soft border never does."""
    if not unknown_HW.any():
        return False
    square = np.ones((3, 3), np.uint8)
    flat = cv2.erode(values, square) == cv2.dilate(values, square)
    return bool((unknown_HW & (flat.all(axis=2) if flat.ndim == 3 else flat)).any())


def _colours(raw: Raw) -> NDArray[np.uint8]:
    """(H, W, 3), contiguous."""
    colours = raw if raw.ndim == 3 else np.repeat(raw[..., None], 3, axis=2)
    return np.ascontiguousarray(colours, dtype=np.uint8)
