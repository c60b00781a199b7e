"""Numbers of WEFT's paper (arXiv 2601.09108), for the reports of the studies that ask the same.

Of the paper no more than its abstract could be read: these are told second-hand.
"""

from segtune import Reported

SOURCE = "arXiv 2601.09108, by notes on it (zhaoyang97/Paper-Notes-en)"


def miou(method: str, value: float, data: str) -> Reported:
    """One mean IoU of the paper, of object and background."""
    return Reported(method, "mIoU", value, data, SOURCE)


COMPONENTS = tuple(
    miou(parts, value, "EORSSD")
    for parts, value in (
        ("base", 0.769),
        ("TWE", 0.825),
        ("ESTO", 0.820),
        ("SEE", 0.805),
        ("TWE + ESTO", 0.832),
        ("TWE + SEE", 0.831),
        ("ESTO + SEE", 0.828),
        ("WEFT (all)", 0.862),
    )
)
OTHERS = tuple(
    miou("WEFT", value, data)
    for data, value in (("ORSSD", 0.8964), ("EORSSD", 0.8621), ("ORSI-4199", 0.7999))
)
POLYPS = (miou("WEFT", 0.8875, "Kvasir"), miou("WEFT", 0.8502, "CVC-300"))
