"""How fast batches are made, and whether a training waits for them.

    python tests/benchmarks/loader.py [--cores 1 2] [--json FILE]

1. Images per second of 1024 x 1024 scenes in L3D's layout (jpg, depth png, polylines), as batches
   of 4 with image, depth and one-hot target: this project's loader while it decodes, while it maps
   what another training of this machine has decoded, and once all is in memory; and plain PIL in
   torch's DataLoader with and without two worker processes. On so many cores, with the threads
   that a worker of as many CPUs has. The rounds of all loaders are interleaved; the best of each
   counts. CPU milliseconds per image (child processes included) are told too: they hold on a busy
   machine, where images per second do not. Eight cores are estimated where there are fewer: eight
   times what those milliseconds allow on one, an upper bound.
2. The share of a training step of `nano` that waits for data, over its first epoch, which decodes,
   and its second. One thread for torch, as a worker with one CPU has.

Some two minutes on two CPU cores with nothing else running.
"""

import argparse
import dataclasses
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from segcore.data.augment import Augment
from segcore.data.loader import loading_threads, training_batches
from segcore.data.sets.l3d import L3D
from segcore.data.sets.l3d_index import CLASS_OF_LETTER
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.train import train
from segcore.training.runtime import local_runtime
from segcore.training.schedule import Schedule

SIZE, BATCH, ROUNDS = 1024, 4, 3
LINE_WIDTH = 30 / 1080
PLAIN = Augment(flip=0.0, brightness=0.0)
"""Neither side augments."""


class PilDataset(TorchDataset[tuple[Tensor, Tensor, Tensor]]):
    """The same samples as one would write them without thinking."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stems = sorted(p.stem for p in (folder / "images").glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        stem = self.stems[index]
        label = json.loads((self.folder / "labels" / f"{stem}.json").read_text())
        canvas = Image.new("L", (label["imageWidth"], label["imageHeight"]))
        pen = ImageDraw.Draw(canvas)
        width = round(LINE_WIDTH * label["imageHeight"])
        for shape in label["shapes"]:
            points = [tuple(point) for point in shape["points"]]
            pen.line(points, fill=CLASS_OF_LETTER[shape["label"][0]], width=width, joint="curve")
        with Image.open(self.folder / "images" / f"{stem}.jpg") as picture:
            image = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        with Image.open(self.folder / "depth_AdelaiDepth" / f"{stem}.png") as picture:
            depth = picture.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        labels = canvas.resize((SIZE, SIZE), Image.Resampling.NEAREST)
        target = torch.nn.functional.one_hot(_tensor(labels).long(), 4).permute(2, 0, 1).float()
        return (
            _tensor(image).permute(2, 0, 1).float() / 255,
            _tensor(depth)[None].float() / 255,
            target,
        )


def _tensor(picture: Image.Image) -> Tensor:
    values: NDArray[np.uint8] = np.array(picture)
    return torch.from_numpy(values)


def cpu_seconds() -> float:
    """User and system seconds of this process and of the children that have ended."""
    both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def loaders(root: Path, images: int, threads: int) -> dict[str, Callable[[], Iterator[Any]]]:
    """What goes through all images once, by name."""
    order = [list(range(i, min(i + BATCH, images))) for i in range(0, images, BATCH)]
    config = L3D(root=str(root), line_width=LINE_WIDTH)
    kept = config.open()

    def ours(data: Any) -> Iterator[Any]:
        return training_batches(data, order, (SIZE, SIZE), PLAIN, seed=0, epoch=1, threads=threads)

    def pil(workers: int) -> Iterator[Any]:
        return iter(DataLoader(PilDataset(root / "Train"), BATCH, num_workers=workers))

    list(ours(kept))
    mapped = [config.open() for _ in range(ROUNDS)]
    with mock.patch.dict(os.environ, SEGTUNE_DECODED="off"):
        cold = [config.open() for _ in range(ROUNDS)]
    return {
        "segcore, decoding": lambda: ours(cold.pop()),
        "segcore, decoded by another": lambda: ours(mapped.pop()),
        "segcore, from memory": lambda: ours(kept),
        "PIL + DataLoader, 2 workers": lambda: pil(2),
        "PIL + DataLoader, no workers": lambda: pil(0),
    }


def throughput(root: Path, images: int, cores: int) -> list[dict[str, float | str]]:
    """Images per second and CPU milliseconds per image of every loader, on so many cores."""
    os.sched_setaffinity(0, range(cores))
    rows: dict[str, list[tuple[float, float]]] = {}
    ways = loaders(root, images, loading_threads(cores))
    for _ in range(ROUNDS):
        for name, start in ways.items():
            wall, used = time.perf_counter(), cpu_seconds()
            batches = start()
            seen = sum(
                len(batch if hasattr(batch, "patient_ids") else batch[0]) for batch in batches
            )
            assert seen == images
            del batches  # worker processes end here, and are counted
            took = time.perf_counter() - wall, cpu_seconds() - used
            rows.setdefault(name, []).append(took)
    return [
        {
            "loader": name,
            "cores": cores,
            "images_per_second": round(images / min(wall for wall, _ in took), 1),
            "cpu_ms_per_image": round(1000 * min(used for _, used in took) / images, 1),
            "estimate_for_8_cores": round(8 * images / min(used for _, used in took)),
        }
        for name, took in rows.items()
    ]


def waiting(root: Path, images: int) -> list[dict[str, float | str]]:
    """Of two epochs of `nano`: the seconds of a step, and the share of them that waits for data."""
    config = dataclasses.replace(
        nano(),
        data=SyntheticLiver(train=images, val=5, test=5, root=str(root)),
        schedule=Schedule(epochs=2, warmup_steps=1),
    )
    rows: list[dict[str, float | str]] = []
    for evaluation in train(config, local_runtime(test=False)):
        if evaluation.final:
            break
        steps = [vars(step.seconds) for step in evaluation.steps]
        total = sum(sum(seconds.values()) for seconds in steps)
        data = sum(seconds["data"] for seconds in steps)
        rows.append(
            {
                "epoch": str(evaluation.epoch),
                "step_seconds": round(total / len(steps), 3),
                "waiting_share": round(data / total, 4),
            }
        )
    return rows


def show(rows: list[dict[str, float | str]]) -> None:
    """Print rows as a table."""
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(str(value) for value in row.values()))
    print()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="How fast batches are made.")
    parser.add_argument("--images", type=int, default=48)
    everywhere = os.sched_getaffinity(0)
    parser.add_argument("--cores", type=int, nargs="+", default=[len(everywhere)])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "scenes"
        SyntheticLiver(train=chosen.images, val=2, test=2, size=SIZE, root=str(root)).open()
        load = round(os.getloadavg()[0], 1)
        print(f"{os.cpu_count()} CPUs, load average {load} at the start\n")
        with mock.patch.dict(os.environ, SEGTUNE_DECODED=f"{folder}/decoded"):
            fast = [row for n in chosen.cores for row in throughput(root, chosen.images, n)]
        os.sched_setaffinity(0, everywhere)
        show(fast)
        idle = waiting(Path(folder) / "nano", 2 * chosen.images)
        show(idle)
    if chosen.json:
        figures = {"cpus": os.cpu_count(), "load_average": load, "loaders": fast, "nano": idle}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
