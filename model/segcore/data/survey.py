"""What is in a data folder: counts, sizes and everything that is odd, even where it is faulty."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Dataset, Split
from segcore.data.faults import DataError, Faults
from segcore.data.frame_folder import FolderConfig, FrameFolder
from segcore.data.frames import Frame, Scan, WidthHeight


@dataclass(frozen=True)
class SplitCount:
    """What a split holds."""

    images: int
    patients: int
    labelled: Mapping[str, int]
    """Images in which a foreground class occurs."""
    share: Mapping[str, float]
    """Mean share of an image's pixels that a foreground class has."""


@dataclass(frozen=True)
class Survey:
    """A folder that has been looked over."""

    classes: ClassSpec
    splits: Mapping[Split, SplitCount]
    sizes: Mapping[WidthHeight, int]
    """Images of each width and height, most frequent first."""
    faults: Faults
    """What keeps the folder from being used, or its scores from being believed."""
    repeated: tuple[str, ...]
    """Images that are there twice within a split: no fault, but counted twice."""
    content_hash: str
    sound: FrameFolder
    """The samples that can be read."""


def survey(config: FolderConfig) -> Survey:
    """Read every file of a data set, and every label in full.

    Raises:
        DataError: there is no folder.
    """
    scan = config.scan()
    classes = config.class_spec()
    counts, sound = {}, {}
    for split in SPLITS:
        sound[split], counts[split] = _count(config, classes, scan, scan.frames[split])
    absent = [name for name, images in counts["train"].labelled.items() if not images]
    if sound["train"] and absent:
        held = config.held(list(sound["train"].values()))
        told = "" if held is None else f" (masks hold {held})"
        scan.faults.extend("class that no image of train has", [name + told for name in absent])
    between, within = _duplicates(scan)
    scan.faults.extend("same image in two splits", between)
    return Survey(
        classes=classes,
        splits=counts,
        sizes=dict(Counter(scan.sizes.values()).most_common()),
        faults=scan.faults,
        repeated=tuple(within),
        content_hash=scan.content_hash,
        sound=FrameFolder(replace(scan, frames=sound), config),
    )


def _count(
    config: FolderConfig, classes: ClassSpec, scan: Scan, frames: Mapping[str, Frame]
) -> tuple[dict[str, Frame], SplitCount]:
    """The frames of a split that can be read, and what the split holds."""
    sound = {}
    labelled: Counter[str] = Counter()
    share = dict.fromkeys(classes.foreground, 0.0)
    read = 0
    for sample_id, frame in frames.items():
        try:
            labels_HW = config.labels(frame)
        except (OSError, SyntaxError, ValueError, KeyError):
            continue  # The scan has said so.
        read += 1
        whole = frame.depth is None or frame.depth in scan.digests
        if whole and frame.image in scan.sizes:
            sound[sample_id] = frame
        for name, mask_HW in classes.foreground_masks(labels_HW).items():
            mean = float(mask_HW.mean())
            labelled[name] += mean > 0
            share[name] += mean
    return sound, SplitCount(
        images=len(frames),
        patients=len({frame.patient for frame in frames.values()}),
        labelled={name: labelled[name] for name in classes.foreground},
        share={name: share[name] / max(1, read) for name in classes.foreground},
    )


def _duplicates(scan: Scan) -> tuple[list[str], list[str]]:
    """Images with the same bytes: those in two splits, and those within one."""
    places: dict[tuple[str, int], list[tuple[Split, str]]] = {}
    for split, members in scan.frames.items():
        for sample_id, frame in members.items():
            if frame.image in scan.digests:
                key = scan.digests[frame.image], frame.slice
                places.setdefault(key, []).append((split, sample_id))
    between: list[str] = []
    within: list[str] = []
    for found in places.values():
        if len(found) > 1:
            told = ", ".join(f"{sample_id} ({split})" for split, sample_id in found)
            (between if len({split for split, _ in found}) > 1 else within).append(told)
    return between, within


def check_labelled(dataset: Dataset) -> None:
    """See that training images show something of a class: the first that does ends the search.

    Raises:
        DataError: no label of train has a foreground class.
    """
    ids = dataset.ids("train")
    for sample_id in ids:
        labels_HW = dataset.load("train", sample_id, None).labels_HW
        if any(mask_HW.any() for mask_HW in dataset.classes.foreground_masks(labels_HW).values()):
            return
    if ids:
        raise DataError(
            f"none of the {len(ids)} images of train shows any of the classes "
            f"{', '.join(dataset.classes.foreground)}: see what the masks hold with `segtune data "
            "check`, and say it in the data set's fields, such as data.classes"
        )
