"""What the tables say of a metric beside its value, for tests that write rows themselves."""

from collections.abc import Mapping
from typing import Any

from segcore.metrics import METRICS, default_protocol

KINDS: dict[str, dict[str, Any]] = {
    "dice": {"direction": "maximize", "unit": "fraction", "label": "Dice"},
    "iou": {"direction": "maximize", "unit": "fraction", "label": "IoU"},
    "nsd": {"direction": "maximize", "unit": "fraction", "label": "NSD"},
    "assd": {"direction": "minimize", "unit": "px", "label": "ASSD"},
    "hd": {"direction": "minimize", "unit": "px", "label": "HD"},
    "hd95": {"direction": "minimize", "unit": "px", "label": "HD95"},
}
"""The columns `direction`, `unit` and `label`, by metric."""
DEFINED: dict[str, dict[str, Any]] = {
    name: {
        **kind,
        "about": METRICS[f"{name}.{default_protocol(name)}"].load().about,
        "protocol": default_protocol(name),
        "shown": METRICS[f"{name}.{default_protocol(name)}"].load().shown,
    }
    for name, kind in KINDS.items()
}
"""What `study.json` says of them."""


class Scored:
    """What a configuration says of its scores, for trainings that never run."""

    def scores(self) -> Mapping[str, tuple[str, str, str]]:
        """As a training of segcore's has them."""
        return {m: (k["direction"], k["unit"], k["label"]) for m, k in KINDS.items()}

    def selects(self) -> tuple[str, str, str, str]:
        """As a training of segcore's has it."""
        return "dice", "macro", "per_image", "maximize"
