"""CPU seconds for Dice, IoU, ASSD and HD95 of three classes, against medpy and MONAI, on one core.

    OMP_NUM_THREADS=1 taskset -c 0 python tests/benchmarks/metrics.py [--size 1024] [--json FILE]

Every library computes the same protocol: ASSD and HD95 over the border pixels of both masks,
pooled (MONAI's HD95, the larger of two directed ones, is timed and not compared). The largest
difference to medpy's values is printed beside the times.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from medpy.metric import binary as medpy
from numpy.typing import NDArray

from segcore.metrics import dice, iou, surface_distances

Mask = NDArray[np.bool_]
Values = list[tuple[float, float, float, float]]
CLASSES = 3


def ours(a_KHW: Mask, b_KHW: Mask) -> Values:
    """Dice, IoU, ASSD and HD95 of each class."""
    out = []
    for a, b in zip(a_KHW, b_KHW, strict=True):
        d = surface_distances(a, b)
        out.append((dice(a, b), iou(a, b), d.mean(), d.percentile(95)))
    return out


def with_medpy(a_KHW: Mask, b_KHW: Mask) -> Values:
    """The same by medpy."""
    return [
        (medpy.dc(a, b), medpy.jc(a, b), medpy.assd(a, b), medpy.hd95(a, b))
        for a, b in zip(a_KHW, b_KHW, strict=True)
    ]


def with_monai(a_KHW: Mask, b_KHW: Mask) -> Values:
    """The same by MONAI, but for HD95's definition."""
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.meandice import compute_dice
    from monai.metrics.meaniou import compute_iou
    from monai.metrics.surface_distance import compute_average_surface_distance

    a, b = (torch.from_numpy(m)[None] for m in (a_KHW, b_KHW))
    columns = (
        compute_dice(a, b),
        compute_iou(a, b),
        compute_average_surface_distance(a, b, include_background=True, symmetric=True),
        compute_hausdorff_distance(a, b, include_background=True, percentile=95),
    )
    return [tuple(row) for row in torch.cat(columns).T.tolist()]


def bands(size: int, shift: float) -> Mask:
    """Three landmark bands, 30/1080 of the height, moved by a share of the height."""
    x = np.arange(size)
    out = np.zeros((CLASSES, size, size), np.uint8)
    for k in range(CLASSES):
        y = size * (0.2 + 0.25 * k + shift) + 0.1 * size * np.sin(x / (0.15 * size) + k)
        line = np.stack([x, y], 1).astype(np.int32)
        cv2.polylines(out[k], [line], False, 1, max(1, size * 30 // 1080))
    return out.astype(bool)


def cases(size: int) -> dict[str, tuple[Mask, Mask]]:
    """Pairs of three masks, from what a trained network gives to what none should."""
    rng = np.random.default_rng(0)
    truth = bands(size, 0)
    blobs = np.zeros_like(truth)
    blobs[:, size // 5 : 4 * size // 5, size // 5 : 4 * size // 5] = True
    specks = truth | (rng.random(truth.shape) < 0.001)
    noise = rng.random((2, *truth.shape)) < 0.5
    return {
        "bands, 1 % off": (bands(size, 0.01), truth),
        "bands, 10 % off": (bands(size, 0.1), truth),
        "bands with specks": (specks, truth),
        "large blobs, 5 % off": (np.roll(blobs, size // 20, axis=1), blobs),
        "half of all pixels": (noise[0], noise[1]),
    }


def seconds(compute: Callable[[Mask, Mask], Values], pair: tuple[Mask, Mask], repeat: int) -> float:
    """The fastest of several runs, in seconds of this process: others may use the machine."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        compute(*pair)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest run counts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # MONAI warns of its own imports.
    with_monai(*(bands(64, 0),) * 2)  # what it imports is not timed
    rows = []
    print("| masks | here | medpy | MONAI | medpy / here | largest difference to medpy |")
    print("|---|---|---|---|---|---|")
    for name, pair in cases(chosen.size).items():
        here, theirs, monais = (
            seconds(compute, pair, chosen.repeat) for compute in (ours, with_medpy, with_monai)
        )
        off = float(np.abs(np.array(ours(*pair)) - np.array(with_medpy(*pair))).max())
        print(
            f"| {name} | {here * 1e3:.1f} ms | {theirs * 1e3:.0f} ms | {monais * 1e3:.0f} ms "
            f"| {theirs / here:.0f} | {off:.1e} |"
        )
        rows.append(
            {"masks": name, "seconds": here, "medpy_seconds": theirs, "monai_seconds": monais}
            | {"ratio": theirs / here, "largest_difference": off}
        )
    if chosen.json:
        figures = {"size": chosen.size, "classes": CLASSES, "rows": rows}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
