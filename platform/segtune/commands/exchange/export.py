"""`segtune export`: a checkpoint's encoder as plain weights, or its whole predictor as a graph."""

import argparse
import warnings
from pathlib import Path

from rich.console import Console

from segtune.commands.shared import (
    checkpoint_argument,
    load_plugins,
    location_argument,
    locations,
    path,
    plugin_argument,
)

HELP = "a checkpoint's encoder as plain weights, or the whole of it as ONNX or torch's export"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, in which form, and where to."""
    checkpoint_argument(parser)
    parser.add_argument(
        "--format",
        choices=["weights", "onnx", "torch-export"],
        default="weights",
        help="weights: the SAM2, SAM or other encoder alone; onnx, torch-export: all that makes "
        "probabilities of an image (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="PATH",
        help="of weights FILE.safetensors, or of SAM2 FILE.pt in the form of Meta's checkpoints; "
        "of SAM a folder, as transformers has them; FILE.onnx; of torch-export FILE.pt2",
    )
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write it and say what the model expects."""
    from segcore.training.restore import restore
    from segtune.execution.training.checkpoints import on_this_machine

    load_plugins(args)
    with on_this_machine(args.checkpoint) as checkpoint:
        if args.format != "weights":
            console.print(_graph(args, checkpoint), highlight=False)
            return 0
        restored = restore(checkpoint, locations(args))
    from segcore.predict.export import expects, export

    count = export(restored, args.out)
    published = restored.system.published()
    assert published is not None, "else it was refused"
    console.print(
        f"{count} tensors of {published.name} are in {args.out.absolute()}\n"
        f"It expects {expects(restored)}.",
        highlight=False,
    )
    return 0


def _graph(args: argparse.Namespace, checkpoint: Path) -> str:
    """Write the whole predictor; what to tell of it."""
    from segcore.predict import Predictor
    from segcore.predict.graph import export_graph

    if args.format == "onnx":  # before the network is built: the extra may be missing
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    predictor = Predictor.load(
        checkpoint, device="cpu", precision="float32", locations=locations(args)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its own exporter
        off = export_graph(predictor, args.out, args.format)
    height, width = predictor.size
    depth = f", and depth (1, {height}, {width})" if predictor.needs_depth else ""
    return (
        f"{args.out.absolute()} is the whole predictor, within {off:.1g} of its probabilities\n"
        f"It takes image (1, {height}, {width}, 3){depth} of uint8, and gives probabilities "
        f"(1, {len(predictor.classes.names)}, {height}, {width}) of "
        f"{', '.join(predictor.classes.names)}."
    )
