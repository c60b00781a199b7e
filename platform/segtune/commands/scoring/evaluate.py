"""`segtune evaluate`: a trained network, or masks from elsewhere, scored on any data set."""

import argparse
import json
import os

from rich.console import Console

from segtune.commands.shared import (
    device_arguments,
    folder,
    load_plugins,
    path,
    plain_console,
    plugin_argument,
    storage_argument,
)

HELP = "score checkpoints, or another program's masks, on any data set"
SPLITS = ("train", "val", "test")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Checkpoints or masks, what they are scored on and by, and where the scores are kept."""
    parser.add_argument(
        "checkpoints",
        type=folder,
        nargs="*",
        metavar="CHECKPOINT",
        help="trials' or checkpoints' folders, such as results/demo/train/lora-s0 (or s3://...); "
        "results/demo/train/lora is all seeds of an arm",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="score the checkpoints together, as one network: their probabilities are averaged",
    )
    parser.add_argument(
        "--predictions",
        type=path,
        metavar="DIR",
        help="in place of checkpoints: a folder of masks that another program predicted, PNG or "
        "NIfTI, named as their images",
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="of a data set: `segtune list datasets` (default: the set that it was trained on)",
    )
    parser.add_argument(
        "--set",
        dest="fields",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="a field of the data set (data.root=DIR), of the boxes (prompts.source=truth) or of "
        "test-time augmentation (tta.flips=\"('horizontal',)\"), or where pretrained weights lie "
        "(system.rgb.checkpoint=FILE); may be repeated",
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="(default: %(default)s)")
    parser.add_argument(
        "--resolutions",
        nargs="+",
        metavar="SIZE",
        help="of the masks compared: 256, or 128x192 (height first), or image, each image's own "
        "(default: as its training was tested; of masks: image)",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="KEY",
        help="such as dice.per_image: `segtune list metrics` (default: as its training, else as "
        "the data set is scored)",
    )
    parser.add_argument(
        "--values",
        nargs="+",
        metavar="CLASS=VALUES",
        help="what the values of masks mean, as in polyp=128..255 background=0..127 (default: "
        "labels, as `segtune predict` writes them)",
    )
    parser.add_argument(
        "--study",
        help="the study that keeps the scores, where what is scored is none of a study's trials "
        "(those of a trial are kept by its own)",
    )
    parser.add_argument("--as", dest="arm", metavar="ARM", help="what it is called there")
    parser.add_argument("--seed", type=int, help="of its training, where several are to be kept")
    storage_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    parser.add_argument("--batch-size", type=int, help="(default: that of the training)")
    device_arguments(parser)
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Score them, keep the scores, and print them."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for `predict`
    from segtune.commands.scoring.score import score_masks, score_networks
    from segtune.commands.scoring.shown import as_json, show
    from segtune.execution.training.checkpoints import of_all_seeds

    args.checkpoints = [one for place in args.checkpoints for one in of_all_seeds(place)]
    _check(args)
    load_plugins(args)
    notes = plain_console(stderr=True) if args.json else console
    printed = []
    score = score_networks if args.predictions is None else score_masks
    try:
        for found in score(args, notes):
            if args.json:
                printed.append(as_json(found))
            else:
                show(found, console)
    except KeyboardInterrupt:
        notes.print("stopped; the scores that were shown are kept", highlight=False)
        return 130
    if args.json:
        print(json.dumps(printed, indent=2))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        SpecError: all of them.
    """
    from segtune.results import tables
    from segtune.study.overrides import SpecError
    from segtune.study.validate import is_name

    faults = []
    masks = args.predictions is not None
    if masks == bool(args.checkpoints):
        faults.append("give checkpoints, or --predictions DIR, and not both")
    if masks and args.data is None:
        faults.append("say with --data NAME what was predicted")
    if args.values and not masks:
        faults.append("--values belongs to --predictions: leave it out")
    missing = [
        f"{place}: there is no such folder"
        for place in args.checkpoints
        if args.ensemble and not place.is_folder()
    ]
    faults += missing
    if (
        args.ensemble
        and not missing
        and len({*map(str, args.checkpoints)}) < max(2, len(args.checkpoints))
    ):
        faults.append("--ensemble: give at least two checkpoints, each once")
    if masks:
        given = {"--device": args.device, "--precision": args.precision}
        given |= {"--batch-size": args.batch_size}
        faults += [f"{o} has no effect on masks: leave it out" for o, v in given.items() if v]
    if args.batch_size is not None and args.batch_size < 1:
        faults.append(f"--batch-size {args.batch_size}: give 1 or more")
    if (args.study is None) != (args.arm is None):
        faults.append("give --study and --as together: where the scores are kept, and under which")
    if args.seed is not None and args.arm is None:
        faults.append("--seed belongs to --study and --as: add them, or leave it out")
    if args.arm is not None:
        if not is_name(args.arm):
            faults.append(f"--as {args.arm}: use letters, digits, -, + and _")
        if len(args.checkpoints) > 1 and not args.ensemble:
            faults.append("--as names one checkpoint: give one at a time, with its --seed")
        if args.ensemble and args.seed is not None:
            faults.append("--seed: an ensemble has none of its own: leave it out")
    if args.study is not None:
        trials = tables.read(args.storage, args.study, "trials").to_pylist()
        if not trials:
            faults.append(f"no trial of a study {args.study!r} under {args.storage}")
        elif args.arm in {name for t in trials for name in (t["arm"], t["trial_id"])}:
            faults.append(f"--as {args.arm}: {args.study} has an arm or trial of this name itself")
    if faults:
        raise SpecError(faults)
