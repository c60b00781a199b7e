"""Which labels each slice of a volume holds, found once and kept."""

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from segcore.data.volumes.nifti import Volume, kept_beside
from segcore.files import whole

_HELD = TypeAdapter(tuple[frozenset[int], ...])


def read_labels(volume: Volume, index: int) -> NDArray[np.uint8]:
    """Labels (H, W) of a slice.

    Raises:
        OSError: the file has gone.
        ValueError: a value is no whole number from 0 to 255.
    """
    values = volume.plane(index)
    with np.errstate(invalid="ignore"):  # NaN is told below
        labels: NDArray[np.uint8] = values.astype(np.uint8)
    if not np.array_equal(labels, values):
        odd = values[labels != values].flat[0]
        raise ValueError(f"the value {odd:g} is no label: give whole numbers from 0 to 255")
    return labels


def held_labels(volume: Volume) -> tuple[frozenset[int], ...]:
    """The labels of each slice, background among them.

    All slices are read the first time; the answer is kept in the cache.

    Raises:
        OSError: the file has gone.
        ValueError: a value is no whole number from 0 to 255.
    """
    kept = kept_beside(volume.path, ".labels.json")
    if kept.exists():
        return _HELD.validate_json(kept.read_bytes())
    slices = (read_labels(volume, i) for i in range(volume.shape[0]))
    held = tuple(frozenset(map(int, np.unique(labels_HW))) for labels_HW in slices)
    with whole(kept) as place:
        place.write_bytes(_HELD.dump_json(held))
    return held
