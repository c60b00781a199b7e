"""What the tables say of a metric beside its value, for tests that write rows themselves."""

from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "dice": {"direction": "maximize", "unit": "fraction", "label": "Dice"},
    "iou": {"direction": "maximize", "unit": "fraction", "label": "IoU"},
    "nsd": {"direction": "maximize", "unit": "fraction", "label": "NSD"},
    "assd": {"direction": "minimize", "unit": "px", "label": "ASSD"},
    "hd": {"direction": "minimize", "unit": "px", "label": "HD"},
    "hd95": {"direction": "minimize", "unit": "px", "label": "HD95"},
}
"""The columns `direction`, `unit` and `label`, by metric."""
