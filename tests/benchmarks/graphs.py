"""Processor time of an image through a predictor, and through `segtune export`'s graphs of it.

    python tests/benchmarks/graphs.py [--size 256] [--threads 1] [--images 20]

The network of the preset `nano` with a random head on the CPU, images of its own size one by one;
each figure is the median of processor time, which a busy machine changes least. ONNX runs in
onnxruntime, torch's export as torch loads it, uncompiled.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from segcore.classes import ClassSpec
from segcore.predict import Predictor
from segcore.predict.graph import FORMATS, SUFFIX, export_graph
from segcore.systems.dual_encoder.network import DualEncoderConfig

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)


def median(run: Callable[[], object], images: int) -> float:
    """Milliseconds of processor time, over all threads."""
    run()
    taken = []
    for _ in range(images):
        start = time.process_time()
        run()
        taken.append(1e3 * (time.process_time() - start))
    return statistics.median(taken)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="A predictor and its graphs.")
    parser.add_argument("--size", type=int, default=256, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--images", type=int, default=20, help="(default: %(default)s)")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    config = DualEncoderConfig(image_size=chosen.size)
    predictor = Predictor(
        system=config.build(LANDMARKS).requires_grad_(False),
        config=config,
        classes=LANDMARKS,
        device=torch.device("cpu"),
        precision="float32",
    )
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (chosen.size, chosen.size, 3), dtype=np.uint8)
    depth = rng.integers(0, 256, (chosen.size, chosen.size), dtype=np.uint8)
    own = median(lambda: predictor([image], [depth], probabilities=True), chosen.images)
    print(f"predictor     {own:7.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            path = Path(folder) / f"whole{SUFFIX[form]}"
            off = export_graph(predictor, path, form)
            if form == "onnx":
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = chosen.threads
                session = onnxruntime.InferenceSession(path, options)
                inputs = {"image": image[None], "depth": depth[None]}
                taken = median(partial(session.run, None, inputs), chosen.images)
            else:
                module = torch.export.load(path).module()
                tensors = (torch.from_numpy(image[None]), torch.from_numpy(depth[None]))
                with torch.no_grad():
                    taken = median(partial(module, *tensors), chosen.images)
            print(f"{form:13} {taken:7.1f} ms, off by {off:.1g}")


if __name__ == "__main__":
    main()
