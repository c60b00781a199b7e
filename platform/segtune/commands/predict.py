"""`segtune predict`: masks, overlays and contours of images and videos from a checkpoint."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segtune.commands.shared import (
    checkpoint_argument,
    load_plugins,
    location_argument,
    locations,
    path,
    plugin_argument,
)

if TYPE_CHECKING:
    from segcore.predict.files import Work
    from segcore.predict.outputs import Kind

HELP = "masks, overlays and contours of images and videos"
KINDS: "tuple[Kind, ...]" = ("masks", "overlays", "contours", "depth", "maps")


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, what to predict, where to, and on what."""
    checkpoint_argument(parser)
    parser.add_argument(
        "paths", type=path, nargs="+", metavar="PATH", help="images, folders of images, videos"
    )
    parser.add_argument(
        "--out", type=path, default=Path("predictions"), help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--depth",
        type=path,
        metavar="FOLDER",
        help="depth maps (larger is farther) under the images' names, for networks that need them",
    )
    parser.add_argument(
        "--boxes",
        type=path,
        metavar="FILE",
        help="JSON of box prompts in pixels, for networks that look at them: "
        '{"IMAGE": [x0, y0, x1, y1]}, or a box for each class',
    )
    parser.add_argument(
        "--write",
        nargs="+",
        choices=KINDS,
        help="what to write (default: all of it; depth of networks that look at it)",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: a GPU where there is one")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="of the network; default: bfloat16 where a GPU computes in it",
    )
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Predict; 1 where a video could not be read to its end."""
    # Read when torch is loaded: threads that wait sleep. Spinning, two threads on two cores that
    # others use too were several times slower (tests/benchmarks/predict.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from segcore.predict import Predictor
    from segcore.predict.files import predict_files
    from segcore.predict.outputs import Outputs
    from segcore.predict.sources import find_sources
    from segtune.execution.checkpoints import on_this_machine

    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size}: give 1 or more")
    load_plugins(args)
    outputs = Outputs(args.out, args.write or KINDS)
    with on_this_machine(args.checkpoint) as checkpoint:
        predictor = Predictor.load(
            checkpoint, device=args.device, precision=args.precision, locations=locations(args)
        )
    if args.write and "depth" in args.write and not predictor.needs_depth:
        raise ValueError(
            "--write depth: this network looks at no depth maps, so there are none to write: "
            "leave depth out"
        )
    images, videos = find_sources(
        args.paths,
        args.depth,
        args.boxes,
        needs_depth=predictor.needs_depth,
        prompted=predictor.classes if predictor.takes_prompts else None,
    )
    height, width = predictor.size
    total = len(images) + sum(video.count for video in videos)
    seen = "" if predictor.tta.is_off else f", each seen {predictor.tta.views} times"
    console.print(
        f"{total} frames at {height} x {width} on {predictor.device}, {predictor.precision}{seen}",
        highlight=False,
    )
    try:
        with Progress(
            TextColumn("predicting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as progress:
            task = progress.add_task("", total=total)
            work = predict_files(
                predictor,
                images,
                videos,
                outputs,
                batch_size=args.batch_size,
                advance=lambda frames: progress.advance(task, frames),
            )
    except KeyboardInterrupt:
        console.print(f"stopped; what is in {args.out} is whole", highlight=False)
        return 130
    _tell(work, args.out, console)
    return 1 if work.short else 0


def _tell(work: "Work", out: Path, console: Console) -> None:
    """How fast it was, where the time went, and where the files are."""
    console.print(
        f"{work.frames} frames in {work.wall:.1f} s: {work.frames / work.wall:.1f} frames/s",
        highlight=False,
    )
    stages = (f"{k} {1e3 * s / work.frames:.1f}" for k, s in work.seconds.items())
    console.print(f"milliseconds per frame: {', '.join(stages)}", highlight=False)
    for line in work.short:
        console.print(f"[yellow]{line}[/]", highlight=False)
    console.print(f"The predictions are in {out.absolute()}", highlight=False)
