"""`segtune export`: a checkpoint's encoder as plain weights that load without segtune."""

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

HELP = "a checkpoint's SAM2, SAM or other encoder as plain weights"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, and where to."""
    checkpoint_argument(parser)
    parser.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="PATH",
        help="FILE.safetensors, or of SAM2 FILE.pt in the form of Meta's checkpoints; of SAM a "
        "folder, as transformers has them",
    )
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write it and say what the model expects."""
    from segcore.predict.export import expects, export
    from segcore.training.restore import restore
    from segtune.execution.checkpoints import on_this_machine

    load_plugins(args)
    with on_this_machine(args.checkpoint) as checkpoint:
        restored = restore(checkpoint, locations(args))
    count = export(restored, args.out)
    published = restored.system.published()
    assert published is not None, "else it was refused"
    console.print(
        f"{count} tensors of {published.name} are in {args.out.absolute()}\n"
        f"It expects {expects(restored)}.",
        highlight=False,
    )
    return 0
