"""Which group of images (patient, sequence) belongs to which split."""

import hashlib
import re
from collections.abc import Mapping

from segcore.data.dataset import SPLITS, Split

Fractions = tuple[float, float, float]
"""Of train, val and test."""


def check_pattern(field: str, pattern: str) -> None:
    """Refuse a pattern that cannot say which group a file belongs to.

    Raises:
        ValueError: no regular expression, or one without a group.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{field}: {pattern!r} is no regular expression: {error}") from None
    if groups < 1:
        raise ValueError(f"{field}: {pattern!r} has no (group) that is the patient")


def check_fractions(fractions: Fractions) -> None:
    """Refuse fractions that are no partition.

    Raises:
        ValueError: one is negative, or they do not add up to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions: {fractions} of train, val and test do not add up to 1")


def split_groups(images: Mapping[str, int], fractions: Fractions) -> dict[str, Split]:
    """Divide whole groups over the splits, about as the fractions ask, by images.

    The order of the groups is that of the hash of their names, and so the same everywhere; a
    group goes to the split in which the middle of its images falls.

    Args:
        images: how many images each group has.
        fractions: of the images, for train, val and test.
    """
    total, before = sum(images.values()), 0
    splits: dict[str, Split] = {}
    for group in sorted(images, key=lambda g: hashlib.sha256(g.encode()).hexdigest()):
        middle = (before + images[group] / 2) / total
        before += images[group]
        reached = sum(middle >= sum(fractions[: n + 1]) for n in range(len(SPLITS) - 1))
        splits[group] = SPLITS[reached]
    return splits


def left_out(fractions: Fractions) -> list[Split]:
    """The splits that are to have no images."""
    return [split for split, share in zip(SPLITS, fractions, strict=True) if share == 0]
