"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of what `segtune doctor` prints."""

    level: Level
    subject: str
    found: str
    advice: str = ""
    """What to do; empty where nothing need be done."""


def gib(count: float) -> str:
    """Bytes as a person reads them."""
    return f"{count / 2**30:.1f} GiB"
