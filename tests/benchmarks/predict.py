"""Frames per second of prediction: the network alone, and from files to files.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/predict.py   nano, 256 x 256, CPU
    python tests/benchmarks/predict.py --preset paper            1024 x 1024, on a GPU in bfloat16
    options: --size N --threads N --batch-size N --frames N --device D --precision P --json FILE

`segtune predict` sets OMP_WAIT_POLICY itself, unless it is set.
Weights of the head (nano) or of everything (paper) are random: they cost what trained ones do.
Frames are smooth noise of the network's own size, as JPEG files with PNG depth maps and as an MP4;
all outputs are written. `cpu` is processor time, over all threads: on a busy machine it says more
than the frames per second, and `load` says how busy it was (processes waiting, at the start).
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segcore.batch import Batch
from segcore.classes import ClassSpec
from segcore.predict import Predictor
from segcore.predict.files import Work, predict_files
from segcore.predict.outputs import KINDS, Outputs
from segcore.predict.sources import find_sources
from segcore.presets import paper_system
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.training.runtime import Precision, choose_device

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
TARGETS = {"nano": 20, "paper": 60}
"""Frames per second to reach, from files to files: on two cores, and on one H200-class GPU."""


def build(preset: str, size: int, device: str | None, precision: Precision) -> Predictor:
    """A predictor of the preset's network."""
    torch.manual_seed(0)
    config = (
        DualEncoderConfig(image_size=size)
        if preset == "nano"
        else paper_system(pretrained="random")
    )
    chosen = choose_device(device)
    system = config.build(LANDMARKS).requires_grad_(False)
    return Predictor(
        system=system,
        config=config,
        classes=LANDMARKS,
        device=chosen,
        precision=precision,
    )


def network(predictor: Predictor, batch_size: int, frames: int) -> dict[str, float]:
    """The network alone, on a batch that is on its device."""
    size, device = predictor.size, predictor.device
    image_B3SS = torch.rand(batch_size, *size, 3, device=device).permute(0, 3, 1, 2)
    batch = Batch(
        image_B3HW=image_B3SS,
        target_BKHW=torch.empty(batch_size, len(LANDMARKS.names), 0, 0, device=device),
        sample_ids=("",) * batch_size,
        patient_ids=("",) * batch_size,
        depth_B1HW=torch.rand(batch_size, 1, *size, device=device),
    )
    passes = max(1, frames // batch_size)

    def run() -> int:
        bfloat16 = predictor.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            for _ in range(passes):
                predictor.system(batch, size)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return passes * batch_size

    run()
    return timed(run)


def timed(run: Callable[[], int]) -> dict[str, float]:
    """Frames per second and milliseconds of processor time per frame."""
    wall, cpu = time.perf_counter(), time.process_time()
    frames = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"frames_per_second": frames / wall, "cpu": 1e3 * cpu / frames}


def files(predictor: Predictor, batch_size: int, frames: int, *, video: bool) -> dict[str, float]:
    """From files to files, with every kind of output."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, predictor.size[0], frames, video=video)
        source = folder / "scene.mp4" if video else folder / "images"
        depth = folder / "depth" if predictor.needs_depth else None
        images, videos = find_sources([source], depth, needs_depth=predictor.needs_depth)
        outputs = Outputs(folder / "out", KINDS)
        predict_files(predictor, images[:batch_size], [], outputs, batch_size=batch_size)
        work = Work()

        def run() -> int:
            nonlocal work
            work = predict_files(predictor, images, videos, outputs, batch_size=batch_size)
            return work.frames

        rates = timed(run)
    return rates | {stage: 1e3 * s / work.frames for stage, s in work.seconds.items()}


def make(folder: Path, size: int, frames: int, *, video: bool) -> None:
    """Smooth noise that drifts, as JPEG files and depth maps or as two videos."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (size // 16, size // 16, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    drifting = (np.roll(scene, 3 * n, axis=1) for n in range(frames))
    (folder / "images").mkdir()
    (folder / "depth").mkdir()
    if not video:
        for n, image in enumerate(drifting):
            cv2.imwrite(str(folder / "images" / f"{n:05d}.jpg"), image)
            cv2.imwrite(str(folder / "depth" / f"{n:05d}.png"), image[..., 0])
        return
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    paths = (folder / "scene.mp4", folder / "depth" / "scene.mp4")
    writers = [cv2.VideoWriter(str(path), codec, 25, (size, size)) for path in paths]
    for image in drifting:
        writers[0].write(image)
        writers[1].write(np.repeat(image[..., :1], 3, axis=2))
    for writer in writers:
        writer.release()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Frames per second of prediction.")
    parser.add_argument("--preset", choices=sorted(TARGETS), default="nano")
    parser.add_argument("--size", type=int, default=256, help="of nano (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--frames", type=int, default=160, help="(default: %(default)s)")
    parser.add_argument("--device")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    predictor = build(chosen.preset, chosen.size, chosen.device, chosen.precision)
    batch_size, frames = chosen.batch_size, chosen.frames
    figures: dict[str, Any] = {
        "preset": chosen.preset,
        "size": predictor.size,
        "device": str(predictor.device),
        "precision": predictor.precision,
        "threads": chosen.threads,
        "batch_size": batch_size,
        "frames": frames,
        "target": TARGETS[chosen.preset],
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "load": round(os.getloadavg()[0], 2),
        "network": network(predictor, batch_size, frames),
        "images": files(predictor, batch_size, frames, video=False),
        "video": files(predictor, batch_size, frames, video=True),
    }
    for name, value in figures.items():
        if isinstance(value, dict):
            parts = ", ".join(f"{k} {v:.1f}" for k, v in value.items() if k != "frames_per_second")
            value = f"{value['frames_per_second']:6.1f} frames/s; ms per frame: {parts}"
        print(f"{name:12} {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
