"""What PySODMetrics says of some maps, stored in `saliency_reference.json`.

Its versions of NumPy and OpenCV are not those of this project, so it has an environment of its own:

    python3 -m venv DIR && DIR/bin/pip install pysodmetrics==1.6.2
    DIR/bin/python tests/support/saliency_reference.py

The maps are made here, from seeds, for those who compute and for those who compare.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STORED = Path(__file__).with_suffix(".json")
READINGS = ("probabilities", "min_max")


class Case(NamedTuple):
    """A map of probabilities and the truth."""

    map_HW: NDArray[np.float32]
    truth_HW: NDArray[np.bool_]


def cases() -> dict[str, Case]:
    """Maps of several shapes, good and bad, and where truth or map are empty, by name."""
    random = np.random.default_rng(20)
    truth = _blob(60, 80, 0.45, 0.4, 0.22) > 0.5
    soft = _blob(60, 80, 0.52, 0.44, 0.24)
    noisy = np.clip(soft + 0.3 * (random.random((60, 80)) - 0.5), 0, 1)
    two = truth | (_blob(60, 80, 0.85, 0.8, 0.06) > 0.5)
    point = np.zeros((31, 17), bool)
    point[20, 3] = True
    nothing, everything = np.zeros((40, 50), bool), np.ones((40, 50), bool)
    faint = 0.02 * random.random((40, 50))
    found = {
        "soft": (soft, truth),
        "noisy": (noisy, truth),
        "hard": (soft > 0.5, truth),
        "perfect": (truth, truth),
        "faint": (0.3 * noisy, truth),
        "never below a half": (0.5 + 0.4 * noisy, truth),
        "inverted": (1 - noisy, truth),
        "two objects": (noisy, two),
        "noise": (random.random((48, 33)), random.random((48, 33)) < 0.3),
        "one pixel": (random.random((31, 17)), point),
        "constant": (np.full((60, 80), 0.3), truth),
        "nothing found": (np.zeros((60, 80)), truth),
        "everything marked": (np.ones((60, 80)), truth),
        "truth is everything": (random.random((40, 50)), everything),
        "truth is empty": (faint, nothing),
        "both are empty": (nothing, nothing),
    }
    return {name: Case(np.asarray(m, np.float32), t) for name, (m, t) in found.items()}


def _blob(height: int, width: int, x: float, y: float, radius: float) -> NDArray[np.float64]:
    """1 in the middle, 0.5 at the radius, 0 far from it; wavy."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    dx, dy = columns / width - x, rows / height - y
    wave = 1 + 0.2 * np.cos(3 * np.arctan2(dy, dx))
    return np.asarray(1 / (1 + np.exp(14 * (np.hypot(dx, dy) / (radius * wave) - 1))))


def compute() -> dict[str, Any]:
    """Every value: of each case, and of all cases whose truth is not empty as a set."""
    pysod: Any = importlib.import_module("py_sod_metrics")  # no requirement of this project

    def handlers() -> Mapping[str, Any]:
        both = {"with_dynamic": True, "with_adaptive": True}
        return {
            "f": pysod.FmeasureHandler(**both, beta=0.3),
            "dice": pysod.DICEHandler(**both),
            "iou": pysod.IOUHandler(**both),
        }

    def values(chosen: Mapping[str, Case], reading: str) -> dict[str, float]:
        s, e, w, mae = pysod.Smeasure(), pysod.Emeasure(), pysod.WeightedFmeasure(), pysod.MAE()
        f = pysod.FmeasureV2(handlers())
        for map_HW, truth_HW in chosen.values():
            for measure in (s, e, w, mae, f):
                if reading == "min_max":
                    grey_HW = np.round(255 * map_HW.astype(np.float64)).astype(np.uint8)
                    measure.step(grey_HW, 255 * truth_HW.astype(np.uint8))
                else:
                    measure.step(map_HW.astype(np.float64), truth_HW, normalize=False)
        of_e, of_f = e.get_results()["em"], f.get_results()
        found = {
            "s_measure": s.get_results()["sm"],
            "weighted_f": w.get_results()["wfm"],
            "mae": mae.get_results()["mae"],
            "e_measure.mean": of_e["curve"].mean(),
            "e_measure.max": of_e["curve"].max(),
            "e_measure.adaptive": of_e["adp"],
            "f_measure.mean": of_f["f"]["dynamic"].mean(),
            "f_measure.max": of_f["f"]["dynamic"].max(),
            "f_measure.adaptive": of_f["f"]["adaptive"],
            "dice.mean_over_thresholds": of_f["dice"]["dynamic"].mean(),
            "iou.mean_over_thresholds": of_f["iou"]["dynamic"].mean(),
        }
        return {name: float(value) for name, value in found.items()}

    known = cases()
    objects = {name: case for name, case in known.items() if case.truth_HW.any()}
    return {
        reading: {name: values({name: case}, reading) for name, case in known.items()}
        | {"the set": values(objects, reading)}
        for reading in READINGS
    }


if __name__ == "__main__":
    STORED.write_text(json.dumps(compute(), indent=1) + "\n")
