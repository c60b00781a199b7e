"""`segtune data`: render a synthetic set, look one over or at its augmentation, count what a
study's data hold, score second annotators, write a set for nnU-Net."""

import argparse
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from segtune.commands.datasets import noise
from segtune.commands.datasets.data_set import data_set, fields_of
from segtune.commands.shared import (
    changed_study,
    path,
    picture,
    storage_argument,
    study_arguments,
)

if TYPE_CHECKING:
    from segcore.batch import Size
    from segcore.data.augment import Augment
    from segcore.data.dataset import DataConfig
    from segcore.data.frame_folder import FolderConfig
    from segcore.data.survey import Survey

HELP = "render a synthetic data set, look one over or at its augmentation, count a study's data"

OPTIONS = {
    "train": "images of the train split",
    "val": "images of the val split",
    "test": "images of the test split",
    "images_per_patient": "frames that share anatomy, tissue and camera",
    "size": "side of the images, pixels",
    "seed": "of the scenes",
}
"""Whole-number fields of `synthetic_liver`; what is not given keeps its default."""
PICTURED = 4
"""Samples of each split on the contact sheet."""
AUGMENTED = 3
"""Samples on the sheet of augmentation."""
SIDE = 256
"""Of a data set's images where no study says how large its network sees them, pixels."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The actions `make`, `check`, `augment`, `describe`, `noise` and `to-nnunet`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    make = actions.add_parser("make", help="render synthetic scenes in L3D's own layout")
    make.add_argument("folder", type=path, help="where to; made if it is not there")
    for field, meaning in OPTIONS.items():
        make.add_argument(f"--{field.replace('_', '-')}", type=int, metavar="N", help=meaning)
    make.add_argument("--domain", help="a, or b: another camera, light and tissue")
    check = actions.add_parser(
        "check", help="counts, sizes and faults of a data set, and a picture of it"
    )
    _data_set_arguments(check)
    check.add_argument("--sheet", type=picture, help="the picture (default: NAME-sheet.png)")
    augment = actions.add_parser(
        "augment", help="a picture of training images as they are and as five epochs see them"
    )
    augment.add_argument(
        "name", metavar="NAME", help="a study (a name or a file), or a data set by its name"
    )
    augment.add_argument("--arm", help="of the study, in place of its baseline")
    augment.add_argument(
        "--set",
        dest="fields",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="as in --set augment.blur=1 or --set data.root=DIR; may be repeated",
    )
    augment.add_argument("--out", type=picture, help="the picture (default: NAME-augment.png)")
    counted = actions.add_parser(
        "describe", help="count what the data of a study that was run hold, for its report"
    )
    study_arguments(counted)
    storage_argument(counted)
    drawn_anew = actions.add_parser(
        "noise", help="how much two annotators of the masks disagree, by the study's own metrics"
    )
    noise.arguments(drawn_anew)
    write = actions.add_parser(
        "to-nnunet", help="write a data set and its splits in nnU-Net's raw layout"
    )
    _data_set_arguments(write)
    write.add_argument(
        "--out", type=path, required=True, metavar="DIR", help="where to: $nnUNet_raw"
    )
    write.add_argument(
        "--number", type=int, required=True, metavar="N", help="in nnU-Net, from 1 to 999"
    )
    write.add_argument("--called", metavar="TITLE", help="its name in nnU-Net (default: NAME)")
    write.add_argument(
        "--channel",
        default="CT",
        help="what the values of volumes are, for nnU-Net's normalisation (default: %(default)s)",
    )


def _data_set_arguments(parser: argparse.ArgumentParser) -> None:
    """A data set by its name, where it lies, and its fields."""
    parser.add_argument("name", metavar="NAME", help="of the data set: `segtune list datasets`")
    parser.add_argument("--root", type=path, help="the folder that holds it")
    parser.add_argument(
        "--set",
        dest="fields",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="another field of the data set, as in --set line_width=0.03; may be repeated",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Do what the action says; 2 where a data set has faults."""
    actions = {
        "make": _make,
        "check": _check,
        "augment": _augment,
        "describe": _describe,
        "noise": noise.run,
        "to-nnunet": _to_nnunet,
    }
    return actions[args.action](args, console)


def _make(args: argparse.Namespace, console: Console) -> int:
    from segcore.data.sets.synthetic_liver import SyntheticLiver
    from segtune.study.overrides import apply

    given = {field: getattr(args, field) for field in (*OPTIONS, "domain")}
    config = apply(
        SyntheticLiver(root=str(args.folder)), {f: v for f, v in given.items() if v is not None}
    )
    with console.status(f"rendering into {args.folder}"):
        data = config.open()
    counts = ", ".join(f"{len(data.ids(split))} {split}" for split in ("train", "val", "test"))
    console.print(f"{args.folder}: {counts} images, hash {data.content_hash()[:16]}")
    console.print(f"look at it: segtune data check l3d --root {args.folder}", highlight=False)
    return 0


def _check(args: argparse.Namespace, console: Console) -> int:
    from segcore.data.contact_sheet import contact_sheets
    from segcore.data.survey import survey

    config = config_of(args.name, args.root, args.fields)
    with console.status(f"reading {args.root or args.name}"):
        found = survey(config)
    console.print(_splits(args.name, found))
    sizes = ", ".join(f"{w}x{h} ({n})" for (w, h), n in found.sizes.items())
    console.print(f"image sizes: {sizes or 'none'}", f"hash: {found.content_hash}", sep="\n")
    if found.repeated:
        console.print(f"there twice within a split: {len(found.repeated)}", highlight=False)
        console.print(*(f"    {one}" for one in found.repeated), sep="\n", highlight=False)
    if any(found.sound.ids(split) for split in found.splits):
        sheet: Path = args.sheet or Path(f"{args.name}-sheet.png")
        sheet.parent.mkdir(parents=True, exist_ok=True)
        contact_sheets(found.sound, PICTURED).save(sheet)
        console.print(f"picture: {sheet}")
    if not found.faults:
        console.print("in order")
        return 0
    console.print("faults:", *found.faults.lines(), sep="\n", highlight=False)
    return 2


def _augment(args: argparse.Namespace, console: Console) -> int:
    from segcore.data.contact_sheet import augmentation_sheet

    data, augment, size = _augmented(args)
    if augment.repeats("image") and augment.repeats("depth") and not augment.flip:
        raise ValueError("nothing is augmented: say what to show, as in --set augment.blur=1")
    dataset = data.open()
    if not dataset.ids("train"):
        raise ValueError("there is no training image that can be drawn")
    out: Path = args.out or Path(f"{Path(args.name).stem}-augment.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    with console.status("drawing"):
        augmentation_sheet(dataset, augment, AUGMENTED, size=size).save(out)
    console.print(f"picture: {out}")
    return 0


@dataclasses.dataclass(frozen=True)
class _Looked:
    """What `augment` looks at where no study is named."""

    data: "DataConfig"
    augment: "Augment"


def _augmented(args: argparse.Namespace) -> "tuple[DataConfig, Augment, Size]":
    """The data, the augmentation and the size of the images that were asked for.

    Raises:
        ValueError: no such study, arm or data set, or a field or value that cannot be.
    """
    from segcore.data import DATASETS
    from segcore.data.augment import Augment
    from segtune.study import catalog
    from segtune.study.overrides import apply
    from segtune.study.spec import Ablation

    changes = fields_of(args.fields, "augment.blur=1")
    if args.name not in DATASETS:
        study = catalog.find(args.name).study
        arms = study.all_arms() if isinstance(study, Ablation) else {}
        if args.arm is not None and args.arm not in arms:
            named = f"choose one of {', '.join(arms)}" if arms else "it is a search"
            raise ValueError(f"{args.name} has no arm {args.arm!r}: {named}")
        config = apply(study.baseline, {**arms.get(args.arm, {}), **changes})
        return config.data, config.augment, config.system.input_size
    if args.arm is not None:
        raise ValueError(f"{args.name} is a data set: --arm is for studies")
    of_data = {k.removeprefix("data."): v for k, v in changes.items() if k.startswith("data.")}
    data = data_set({"name": args.name}, of_data, "data.")
    others = {k: v for k, v in changes.items() if not k.startswith("data.")}
    looked = apply(_Looked(data, Augment()), others)
    return looked.data, looked.augment, (SIDE, SIDE)


def _describe(args: argparse.Namespace, console: Console) -> int:
    from segtune.commands.datasets.describe import describe, lines

    named = changed_study(args)
    with console.status("counting what the data hold"):
        found = describe(named.study, named.name, args.storage)
    console.print(*lines(found), sep="\n", highlight=False)
    return 0


def _to_nnunet(args: argparse.Namespace, console: Console) -> int:
    from segcore.data import nnunet_layout

    title: str = args.called or args.name
    faults = []
    if not 1 <= args.number <= 999:
        faults.append(f"--number {args.number}: give one from 1 to 999; those up to 10 are taken")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", title):
        faults.append(f"--called {title}: use letters, digits, - and _")
    if faults:
        raise ValueError("\n".join(faults))
    config = config_of(args.name, args.root, args.fields)
    with console.status(f"reading {args.root or args.name}"):
        data = config.open()
    folder = args.out / f"Dataset{args.number:03d}_{title}"
    with console.status(f"writing {folder}"):
        written = nnunet_layout.write(data, folder, channel=args.channel)
    counts = ", ".join(f"{n} {split}" for split, n in written.cases.items())
    console.print(f"{folder}: {counts} cases", highlight=False)
    if data.has_depth:
        console.print("its depth maps are left out", style="yellow", highlight=False)
    for line in (
        f"nnUNetv2_plan_and_preprocess -d {args.number}",
        f"cp {folder}/{nnunet_layout.FOLDS} $nnUNet_preprocessed/{folder.name}/",
        f"nnUNetv2_train {args.number} 2d 0",
        f"nnUNetv2_predict -d {args.number} -c 2d -f 0 -i {folder}/imagesTs -o predicted",
        f"segtune evaluate --predictions predicted --data {args.name} ...",
    ):
        console.print(f"  {line}", highlight=False)
    return 0


def config_of(name: str, root: Path | None, texts: list[str]) -> "FolderConfig":
    """The data set that was asked for.

    Raises:
        ValueError: no such name or field, or no root where one is needed.
    """
    from segcore.data.dataset import DataConfig
    from segcore.data.frame_folder import FolderConfig

    cls: Any = DataConfig.choice(name)
    if not issubclass(cls, FolderConfig):
        raise ValueError(f"{name} is no folder of files: there is nothing to check")
    roots = [f for f in dataclasses.fields(cls) if f.name == "root"]
    needed = any(f.default is dataclasses.MISSING for f in roots)
    if root is None and needed:
        raise ValueError(f"{name}: say where it lies with --root DIR")
    changes = fields_of(texts, "line_width=0.03")
    if root is not None:
        changes["root"] = str(root)
    config = data_set({"name": name}, changes, "")
    assert isinstance(config, FolderConfig)
    return config


def _splits(name: str, found: "Survey") -> Table:
    table = Table(title=name, title_justify="left")
    for column in ("split", "images", "patients"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for class_name in found.classes.foreground:
        table.add_column(f"{class_name}: images, share", justify="right")
    for split, count in found.splits.items():
        shares = [f"{count.labelled[c]}, {count.share[c]:.1%}" for c in found.classes.foreground]
        table.add_row(split, str(count.images), str(count.patients), *shares)
    return table
