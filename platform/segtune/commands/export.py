"""`segtune export`: a checkpoint's SAM2 as plain weights that load without segtune."""

import argparse

from rich.console import Console

from segtune.commands.shared import (
    checkpoint_argument,
    load_plugins,
    location_argument,
    locations,
    path,
    plugin_argument,
)

HELP = "a checkpoint's SAM2 image encoder as plain weights"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint and a file."""
    checkpoint_argument(parser)
    parser.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="FILE",
        help="FILE.safetensors, or FILE.pt in the form of Meta's checkpoints",
    )
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the file and say what the encoder expects."""
    from segcore.predict.export import expects, export
    from segcore.training.restore import restore
    from segtune.execution.checkpoints import on_this_machine

    load_plugins(args)
    with on_this_machine(args.checkpoint) as checkpoint:
        restored = restore(checkpoint, locations(args))
    count = export(restored, args.out)
    console.print(
        f"{count} tensors of SAM2 are in {args.out.absolute()}\n"
        f"Its image encoder expects {expects(restored)}.",
        highlight=False,
    )
    return 0
