"""Dice on L3D as papers report it, for the report of the study that asks the same.

It is pooled over the three landmarks of an image, and D2GPLand and TopoNet choose their best epoch
on test. Of TopoNet's and BCRNet's papers the numbers are told second-hand.
"""

from segtune import Reported


def dice(method: str, percent: float, source: str) -> Reported:
    """One Dice of a paper, as a fraction."""
    return Reported(method, "Dice", round(percent / 100, 4), "L3D", source)


L3D = (
    dice("U-Net", 51.4, "as BCRNet (arXiv 2506.15279) quotes it, second-hand"),
    dice("D2GPLand", 63.52, "arXiv 2406.17858, abstract"),
    dice("TopoNet", 65.19, "arXiv 2507.00519, second-hand"),
    dice("BCRNet", 69.57, "arXiv 2506.15279, second-hand"),
)
