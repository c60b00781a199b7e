"""Which group of images (patient, sequence) belongs to which split."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from segcore.batch import Size
from segcore.data.dataset import SPLITS, Dataset, Sample, Source, Split
from segcore.data.frames import Frame, Frames

Fractions = tuple[float, float, float]
"""Of train, val and test."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""Of the train split."""


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


def group_of(pattern: str, stem: str) -> str | None:
    """The group that a file's name without suffix names by a pattern; None where it names none."""
    match = re.fullmatch(pattern, stem)
    return (match.group(1) if match else None) or None


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
    for group in sorted(images, key=_place):
        middle = (before + images[group] / 2) / total
        before += images[group]
        reached = sum(middle >= sum(fractions[: n + 1]) for n in range(len(SPLITS) - 1))
        splits[group] = SPLITS[reached]
    return splits


def left_out(fractions: Fractions) -> list[Split]:
    """The splits that are to have no images."""
    return [split for split, share in zip(SPLITS, fractions, strict=True) if share == 0]


class Redivided:
    """A data set whose images are in other splits than they were, or in none."""

    def __init__(self, dataset: Dataset, changed: Mapping[Split, Mapping[str, Split]]) -> None:
        """Choose the images.

        Args:
            dataset: the whole one.
            changed: for each split that is another one now, its images in their order, and the
                split of the whole set that each is read from.
        """
        self.classes, self.has_depth = dataset.classes, dataset.has_depth
        self._whole, self._changed = dataset, changed

    def ids(self, split: Split) -> Sequence[str]:
        """Those that are there."""
        return tuple(self._changed[split]) if split in self._changed else self._whole.ids(split)

    def sources(self, split: Split) -> Mapping[str, Source]:
        """Of those that are there."""
        if split not in self._changed:
            return self._whole.sources(split)
        origin = self._changed[split]
        of = {before: self._whole.sources(before) for before in set(origin.values())}
        return {name: of[before][name] for name, before in origin.items()}

    def load(self, split: Split, sample_id: str, size: Size | None) -> Sample:
        """As the whole set does.

        Raises:
            KeyError: the sample is not there.
        """
        before = self._changed[split][sample_id] if split in self._changed else split
        return self._whole.load(before, sample_id, size)

    def content_hash(self) -> str:
        """Of the whole set and of what the changed splits have."""
        ids = [" ".join(names) for names in self._changed.values()]
        return hashlib.sha256(" ".join([self._whole.content_hash(), *ids]).encode()).hexdigest()


def share_of_train(dataset: Dataset, share: float) -> Redivided:
    """Some patients of the train split alone, as if no one had annotated the others. Smaller shares
    are parts of larger ones.

    Args:
        dataset: the whole one.
        share: of the train split's patients, rounded up, in the order of their names' hash.
    """
    sources = dataset.sources("train")
    patients = sorted({s.patient_id for s in sources.values()}, key=_place)
    rounding = 1e-9  # 0.28 of 25 are 7, and a little more in floating point
    kept = set(patients[: math.ceil(share * len(patients) - rounding)])
    train: dict[str, Split] = {
        i: "train" for i in dataset.ids("train") if sources[i].patient_id in kept
    }
    return Redivided(dataset, {"train": train})


def fold_of(dataset: Dataset, number: int, of: int) -> Redivided:
    """One part of a cross-validation: train and val together are dealt out anew, by patient, and
    test stays as it is.

    The patients with most images are dealt out first, each to the part that has fewest images;
    equals in the order of their names' hash. So a division depends on names and numbers alone.

    Args:
        dataset: the whole one.
        number: of the part that is val, from 0; all others are train.
        of: how many parts there are.

    Raises:
        ValueError: fewer patients than parts, or an image's name is in train and in val.
    """
    pool: dict[str, Split] = {}
    patients: dict[str, list[str]] = {}
    for split in ("train", "val"):
        sources = dataset.sources(split)
        for name in dataset.ids(split):
            if name in pool:
                raise ValueError(f"fold: an image {name!r} is in train and in val: rename one")
            pool[name] = split
            patients.setdefault(sources[name].patient_id, []).append(name)
    if len(patients) < of:
        raise ValueError(
            f"fold: train and val have {len(patients)} patients, too few for {of} parts: take fewer"
        )
    parts: list[set[str]] = [set() for _ in range(of)]
    for patient in sorted(patients, key=lambda p: (-len(patients[p]), _place(p))):
        min(parts, key=len).update(patients[patient])
    train = {name: split for name, split in pool.items() if name not in parts[number]}
    val = {name: split for name, split in pool.items() if name in parts[number]}
    return Redivided(dataset, {"train": train, "val": val})


def val_from_train(train: Mapping[str, Frame], test: Mapping[str, Frame], share: float) -> Frames:
    """Take whole patients out of train for val, about as many images as the share asks.

    Args:
        train: frames by sample id.
        test: alike.
        share: of train.
    """
    chosen = taken_for_val((f.patient for f in train.values()), share)
    return {
        "train": {i: frame for i, frame in train.items() if frame.patient not in chosen},
        "val": {i: frame for i, frame in train.items() if frame.patient in chosen},
        "test": test,
    }


def taken_for_val(patients: Iterable[str], share: float) -> set[str]:
    """The patients of train that are val.

    Each one's name decides for itself: its hash, as a number from 0 to 1, is below the share or it
    is not. So images that are added later move no other, and of few patients the share may be off.

    Args:
        patients: of train.
        share: of them.
    """
    return {patient for patient in patients if _place(patient) < share}


def _place(name: str) -> float:
    """From 0 to 1, by the hash of a name: an order that looks drawn and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
