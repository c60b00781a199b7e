"""Numbers of I-MedSAM's paper (arXiv 2311.17081), for the reports of the studies that ask the same.

Which row of its component table is which of the two middle ones is our inference, from section 4.4
and its table 6.
"""

from segtune import Reported

SOURCE = "arXiv 2311.17081"
SESSILE, CVC = "Kvasir-Sessile", "CVC-ClinicDB, trained on Kvasir-Sessile"


def dice(method: str, percent: float, data: str, table: str) -> Reported:
    """One Dice of the paper, as a fraction."""
    return Reported(method, "Dice", round(percent / 100, 4), data, f"{SOURCE}, {table}")


def distance(method: str, pixels: float, data: str, table: str) -> Reported:
    """One Hausdorff distance of the paper, pixels."""
    return Reported(method, "HD", pixels, data, f"{SOURCE}, {table}")


_PARTS = ("LoRA", "LoRA + FA", "LoRA + INR", "I-MedSAM (all)")
_COMPONENTS = {
    SESSILE: (83.61, 88.74, 88.83, 91.49),
    CVC: (82.57, 82.61, 83.40, 88.83),
    f"{SESSILE}, masks at 128": (72.73, 75.69, 88.16, 91.45),
    f"{SESSILE}, masks at 896": (76.46, 78.59, 88.43, 91.33),
}


def components(*columns: str) -> tuple[Reported, ...]:
    """Columns of the component table, by what was tested on."""
    return tuple(
        dice(part, value, data, "component table")
        for data in columns
        for part, value in zip(_PARTS, _COMPONENTS[data], strict=True)
    )


COMPONENTS = components(SESSILE)
RESOLUTIONS = components(*(data for data in _COMPONENTS if "masks at" in data))
OTHER_POLYPS = (*components(CVC), distance("I-MedSAM (all)", 19.76, CVC, "domain table"))
LIVER = tuple(
    make("I-MedSAM (all)", value, "AMOS, liver, trained on BCV", "domain table")
    for make, value in ((dice, 86.28), (distance, 37.53))
)
FREQUENCY = tuple(
    make(f"frequency adapter: {name}", value, SESSILE, "frequency table")
    for name, values in (
        ("none", (88.83, 15.44)),
        ("phase", (90.60, 12.67)),
        ("amplitude", (91.49, 11.59)),
    )
    for make, value in zip((dice, distance), values, strict=True)
)
SAMPLING = tuple(
    make(f"sampling: {name}", value, SESSILE, "sampling table")
    for name, values in (
        ("none", (87.77, 16.15)),
        ("50 %", (90.27, 13.88)),
        ("25 %", (89.59, 14.12)),
        ("12.5 %", (91.49, 11.59)),
        ("6.25 %", (91.01, 12.99)),
        ("3.125 %", (90.48, 14.53)),
    )
    for make, value in zip((dice, distance), values, strict=True)
)
