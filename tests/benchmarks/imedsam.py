"""I-MedSAM: what a step costs at its own size, and whether its uncertainty finds its errors.

    .venv/bin/python tests/benchmarks/imedsam.py step
    .venv/bin/python tests/benchmarks/imedsam.py uncertainty DIR/STUDY/train/all-s0

`step`: one training step of each reading at 384 x 384, batch 1, random weights, in a process of its
own: seconds, and the largest resident size. `uncertainty`: of a trained network, on the test images
of its data: how well each estimator ranks the points of the coarse mask by whether they are wrong
(AUROC, 0.5 is chance), and which share of the errors lies in the eighth of the points that it would
have refined; means over images with an error.
"""

import argparse
import dataclasses
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

READINGS = ("imedsam_paper", "imedsam_as_coded", "imedsam_recommended")
ESTIMATORS: dict[str, dict[str, Any]] = {
    "closed form": {"estimator": "closed_form"},
    "sampled, T = 2": {"estimator": "sampled", "passes": 2},
    "sampled, T = 8": {"estimator": "sampled", "passes": 8},
    "sampled, T = 32": {"estimator": "sampled", "passes": 32},
    "as coded, dropout on": {"estimator": "as_coded", "passes": 2},
    "as coded": {"estimator": "as_coded", "passes": 2, "at_evaluation": False},
}


def step(reading: str) -> dict[str, float | str]:
    """Seconds and bytes of one step."""
    import torch

    from segcore import presets
    from segcore.batch import Batch, Progress, Prompts
    from segcore.classes import ClassSpec

    torch.set_num_threads(2)
    torch.manual_seed(0)
    config = getattr(presets, reading)("nowhere", pretrained="random")
    system = config.system.build(ClassSpec(("polyp",), exclusive=False))
    config.method.adapt(system)
    optimizer = config.method.optimizer(system, config.optim)
    size = config.system.input_size
    batch = Batch(
        image_B3HW=torch.rand(1, 3, *size),
        target_BKHW=(torch.rand(1, 1, *size) > 0.5).float(),
        sample_ids=("a",),
        patient_ids=("a",),
        prompts=Prompts(torch.tensor([[[0.2, 0.2, 0.7, 0.8]]]), torch.ones(1, 1).bool()),
    )
    progress = Progress(step=50, total=100, epoch=10, epochs=20)
    system.train()
    began = time.perf_counter()
    loss = system.loss(system(batch, size, progress), batch, progress)
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    return {
        "reading": reading,
        "forward s": round(forward - began, 2),
        "backward s": round(backward - forward, 2),
        "optimizer s": round(time.perf_counter() - backward, 3),
        "peak GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def uncertainty(checkpoint: Path, data: Any) -> Iterator[dict[str, float | str]]:
    """A row for each estimator."""
    import torch

    from segcore.data.loader import evaluation_batches
    from segcore.data.prompts import PromptConfig
    from segcore.metrics.uncertainty import error_auroc, errors_found
    from segcore.systems.imedsam.network import IMedSamConfig
    from segcore.systems.imedsam.uncertainty import SamplingConfig
    from segcore.training.restore import restore

    restored = restore(checkpoint)
    if not isinstance(restored.config, IMedSamConfig):
        sys.exit(f"{checkpoint} is of the system {restored.config.name}, not imedsam")
    dataset, size = data.open(), restored.config.input_size
    boxes = PromptConfig(source="jittered")
    for name, fields in ESTIMATORS.items():
        # So few points that none is refined: the mask is the coarse one.
        sampling = SamplingConfig(ratio=1e-9, **fields)
        system = dataclasses.replace(restored.config, sampling=sampling).build(restored.classes)
        system.load_state_dict(restored.system.state_dict())
        system.eval()
        found = []
        for samples, batch in evaluation_batches(
            dataset, "test", size, 8, rank=0, world=1, prompts=boxes
        ):
            with torch.inference_mode():
                prediction = system(batch, size)
            guess = restored.classes.labels(prediction.logits_BKhw)
            for i, sample in enumerate(samples):
                wrong = (guess[i] > 0) != (sample.labels_HW > 0)
                if wrong.any():
                    unsure = prediction.maps["uncertainty"][i, 0].numpy()
                    found.append((error_auroc(unsure, wrong), errors_found(unsure, wrong)))
        ranked, share = np.mean(found, axis=0)
        yield {
            "estimator": name,
            "AUROC": round(float(ranked), 3),
            "errors caught": round(float(share), 3),
            "images": len(found),
        }


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=["step", "uncertainty"])
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.what == "step":
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as alone:
            rows = alone.map(step, READINGS, chunksize=1)
    else:
        from segcore.data.sets.synthetic_polyps import SyntheticPolyps

        rows = list(uncertainty(args.checkpoint, SyntheticPolyps()))
    for row in rows:
        print(row)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
