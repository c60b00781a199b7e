"""`segtune publish`: a network with its model card, in a folder or on the Hugging Face hub."""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

from rich.console import Console

from segtune.commands.shared import (
    checkpoint_argument,
    load_plugins,
    location_argument,
    locations,
    plugin_argument,
)

HELP = "a trained network with its model card, in a folder or on the Hugging Face hub"
HUB = "hub:"
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, where to, and under what licence."""
    checkpoint_argument(parser)
    parser.add_argument(
        "--to",
        required=True,
        metavar="FOLDER|hub:OWNER/NAME",
        help="a folder that is not there yet, or a model on the Hugging Face hub",
    )
    parser.add_argument(
        "--licence", help="that you give the trained tensors, as the hub spells it: mit, cc-by-4.0"
    )
    parser.add_argument(
        "--public", action="store_true", help="on the hub: for everyone to see (default: private)"
    )
    location_argument(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the folder, or upload it."""
    repository = args.to.removeprefix(HUB) if args.to.startswith(HUB) else None
    folder = Path(args.to).expanduser()
    faults = [*_faults(repository, folder, args.public)]
    if args.licence is not None and not args.licence.strip():
        faults.append("--licence is empty: name one, such as mit, or leave it out")
    if faults:
        raise ValueError("\n".join(faults))
    load_plugins(args)
    from segcore.files import whole

    if repository is None:
        with whole(folder) as place:
            _write(args, folder.name, place)
        console.print(
            f"{folder.absolute()} holds the network and README.md, its model card: "
            f"Predictor.from_pretrained({str(folder)!r})",
            highlight=False,
        )
        return 0
    with tempfile.TemporaryDirectory(prefix="segtune-publish-") as name:
        place = Path(name) / "model"
        _write(args, repository, place)
        address = _upload(place, repository, public=args.public)
    console.print(f"{address} holds the network and its model card", highlight=False)
    return 0


def _faults(repository: str | None, folder: Path, public: bool) -> list[str]:
    faults = []
    if repository is None:
        if folder.exists():
            faults.append(f"--to {folder} is there already: give another name")
        elif not folder.absolute().parent.is_dir():
            faults.append(f"--to {folder}: {folder.parent} is not a folder: make it first")
        if public:
            faults.append("--public is for the hub: leave it out")
        return faults
    from huggingface_hub import get_token

    if not _NAME.fullmatch(repository):
        faults.append(f"--to {HUB}{repository}: give owner and name, such as {HUB}OWNER/NAME")
    if get_token() is None:
        faults.append(
            "no token of the Hugging Face hub is on this machine: run `hf auth login` with one "
            "that may write, or set HF_TOKEN"
        )
    return faults


def _write(args: argparse.Namespace, name: str, folder: Path) -> None:
    """The trained tensors, what they belong to, and the model card."""
    from segcore.systems.weight_files import weight_files
    from segcore.training.checkpoint import BEST, CONFIG
    from segcore.training.restore import find, restore
    from segtune.commands.exchange.card import model_card
    from segtune.commands.exchange.on_record import on_record
    from segtune.execution.training.checkpoints import on_this_machine

    with on_this_machine(args.checkpoint) as checkpoint:
        restored = restore(checkpoint, locations(args))
        folder.mkdir()
        for file in (BEST, CONFIG):
            shutil.copyfile(find(checkpoint) / file, folder / file)
    starts_from = [*weight_files(restored.config)]
    card = model_card(name, restored, starts_from, on_record(args.checkpoint), args.licence)
    card.save(folder / "README.md")


def _upload(folder: Path, repository: str, *, public: bool) -> str:
    """Through the hub's own client; the address of the model."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        # An existing repository keeps its visibility.
        address = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Published by segtune"
        )
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(f"can't upload to {repository}: {error}") from error
    return str(address)
