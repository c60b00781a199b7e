"""`segtune predict`: masks, overlays and contours of images, videos and volumes."""

import argparse
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from segtune.commands.shared import (
    checkpoint_argument,
    device_arguments,
    folder,
    load_plugins,
    location_argument,
    locations,
    path,
    plugin_argument,
)

if TYPE_CHECKING:
    from segcore.predict import Predictor
    from segcore.predict.files import Work
    from segcore.predict.outputs import Kind, Outputs

HELP = "masks, overlays and contours of images, videos and volumes"
KINDS: "tuple[Kind, ...]" = ("masks", "overlays", "contours", "coco", "depth", "maps")


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, what to predict, where to, and on what."""
    checkpoint_argument(parser)
    parser.add_argument(
        "--with",
        dest="others",
        type=folder,
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="another one of the same network, whose probabilities are averaged with the first's; "
        "may be repeated. results/demo/train/lora, as either, is all seeds of an arm",
    )
    parser.add_argument(
        "paths",
        type=path,
        nargs="+",
        metavar="PATH",
        help="images, folders of images, videos; or volumes (.nii.gz, .nii) and folders of them",
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
        metavar="PLACE",
        help="box prompts in pixels, for networks that look at them: labelme's files of rectangles "
        '(one, or a folder of them), or JSON: {"IMAGE": [x0, y0, x1, y1]}, or a box for each '
        'class; of volumes {"VOLUME": {"SLICE": [x0, y0, x1, y1]}}',
    )
    parser.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="the values of volumes that are black and white (default: those of the training)",
    )
    parser.add_argument(
        "--write",
        nargs="+",
        choices=KINDS,
        help="what to write: contours are labelme's, coco is what CVAT imports as masks (default: "
        "all of it; depth of networks that look at it)",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="(default: %(default)s)")
    device_arguments(parser)
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Predict; 1 where a video could not be read to its end."""
    # Read when torch is loaded: threads that wait sleep. Spinning, two threads on two cores that
    # others use too were several times slower (tests/benchmarks/predict.py).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from segcore.predict import Predictor
    from segcore.predict.outputs import Outputs
    from segcore.predict.volumes import are_volumes
    from segtune.execution.training.checkpoints import of_all_seeds, on_this_machine

    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size}: give 1 or more")
    load_plugins(args)
    outputs = Outputs(args.out, args.write or KINDS)
    places = [p for place in (args.checkpoint, *args.others) for p in of_all_seeds(place)]
    if len({*map(str, places)}) < len(places):
        raise ValueError("--with: give each checkpoint once")
    with ExitStack() as copies:
        predictor = Predictor.load(
            *(copies.enter_context(on_this_machine(place)) for place in places),
            device=args.device,
            precision=args.precision,
            locations=locations(args),
        )
    if args.write and "depth" in args.write and not predictor.needs_depth:
        raise ValueError(
            "--write depth: this network looks at no depth maps, so there are none to write: "
            "leave depth out"
        )
    with Progress(
        TextColumn("predicting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        predict = _volumes if are_volumes(args.paths) else _pictures
        try:
            return predict(args, predictor, outputs, progress)
        except KeyboardInterrupt:
            console.print(f"stopped; what is in {args.out} is whole", highlight=False)
            return 130


def _pictures(
    args: argparse.Namespace, predictor: "Predictor", outputs: "Outputs", progress: Progress
) -> int:
    """Images and videos; 1 where a video could not be read to its end."""
    from segcore.predict.files import predict_files
    from segcore.predict.sources import find_sources

    if args.window is not None:
        raise ValueError("--window has no effect on images and videos: leave it out")
    _check_prompted(args, predictor)
    images, videos = find_sources(
        args.paths,
        args.depth,
        args.boxes,
        needs_depth=predictor.needs_depth,
        prompted=predictor.classes if predictor.takes_prompts else None,
        depth_range=predictor.depth_range,
    )
    task = _begin(progress, predictor, len(images) + sum(video.count for video in videos), "frames")
    work = predict_files(
        predictor,
        images,
        videos,
        outputs,
        batch_size=args.batch_size,
        advance=lambda frames: progress.advance(task, frames),
    )
    progress.stop()
    _tell(work, args.out, progress.console)
    return 1 if work.short else 0


def _volumes(
    args: argparse.Namespace, predictor: "Predictor", outputs: "Outputs", progress: Progress
) -> int:
    """Volumes, slice by slice."""
    from segcore.predict.volumes import find_volumes, predict_volumes

    faults = []
    if args.depth is not None:
        faults.append("--depth has no effect on volumes: leave it out")
    written = {"masks", "overlays", "maps"}
    if args.write and not written & {*args.write}:
        faults.append(f"--write: of volumes there are {', '.join(sorted(written))}")
    if predictor.needs_depth:
        faults.append("this network looks at depth maps, and slices of volumes have none")
    window = predictor.window if args.window is None else tuple(args.window)
    if window is None:
        faults.append("this network was not trained on volumes: give --window BLACK WHITE")
    elif not -math.inf < window[0] < window[1] < math.inf:
        told = f"--window {window[0]:g} {window[1]:g}"
        faults.append(f"{told}: give the lower value first, and finite ones")
    if faults or window is None:
        raise ValueError("\n".join(faults))
    _check_prompted(args, predictor)
    volumes = find_volumes(
        args.paths,
        args.boxes,
        prompted=predictor.classes if predictor.takes_prompts else None,
    )
    total = sum(volume.count for volume in volumes)
    task = _begin(progress, predictor, total, "slices")
    predict_volumes(
        predictor,
        volumes,
        outputs.folder,
        window=window,
        kinds=outputs.kinds,
        batch_size=args.batch_size,
        advance=lambda slices: progress.advance(task, slices),
    )
    progress.stop()
    progress.console.print(f"The predictions are in {args.out.absolute()}", highlight=False)
    return 0


def _check_prompted(args: argparse.Namespace, predictor: "Predictor") -> None:
    source = predictor.prompts.source
    if args.boxes is None and predictor.takes_prompts and source not in ("none", "image"):
        raise ValueError(
            f"this network was trained with boxes around objects (prompts.source={source!r}) and "
            "does not find them by itself: give --boxes"
        )


def _begin(progress: Progress, predictor: "Predictor", total: int, what: str) -> TaskID:
    height, width = predictor.size
    count = predictor.networks
    asked = "" if count == 1 else f", the mean of {count} networks"
    seen = "" if predictor.tta.is_off else f", each seen {predictor.tta.views} times"
    progress.console.print(
        f"{total} {what} at {height} x {width} on {predictor.device}, {predictor.precision}"
        f"{asked}{seen}",
        highlight=False,
    )
    return progress.add_task("", total=total)


def _tell(work: "Work", out: Path, console: Console) -> None:
    """How fast it was, where the time went, and where the files are."""
    console.print(
        f"{work.frames} frames in {work.wall:.1f} s: {work.frames / work.wall:.1f} frames/s",
        highlight=False,
    )
    stages = (f"{k} {1e3 * s / work.frames:.1f}" for k, s in work.seconds.items())
    console.print(f"milliseconds per frame: {', '.join(stages)}", highlight=False)
    for line in work.short:
        console.print(line, style="yellow", highlight=False)
    console.print(f"The predictions are in {out.absolute()}", highlight=False)
