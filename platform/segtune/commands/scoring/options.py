"""What `segtune evaluate` was asked to score: read from its options, and checked."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from segcore.data.dataset import DataConfig
from segcore.data.masks import parse_code
from segcore.metrics.table import METRICS
from segcore.training import retest as again
from segcore.training.evaluation import Resolution
from segcore.training.restore import Restored, find
from segcore.training.retest import Measured, Retest
from segtune.commands.datasets.data_set import data_set, fields_of
from segtune.execution.preflight import faults_of
from segtune.study.overrides import SpecError, apply, value_faults

PARTS = ("data", "prompts", "tta", "system")
"""What a field that is set may begin with."""


def check(args: argparse.Namespace) -> None:
    """Refuse what is wrong whatever the data hold.

    Raises:
        SpecError: all of it.
    """
    masks = args.predictions is not None

    def check_masks() -> None:
        fields = fields_by_part(args)
        unused = [f"{part}.{name}" for part in PARTS[1:] for name in fields[part]]
        faults = [f"--set {field} has no effect on masks: leave it out" for field in unused]
        if wrong := again.not_of_masks([m for m in args.metrics or () if m in METRICS]):
            faults.append(f"metrics: masks alone do not do for {', '.join(wrong)}: leave it out")
        if args.values:
            faults += faults_of(partial(parse_code, tuple(args.values)))
        if faults:
            raise SpecError(faults)

    checks: list[Callable[[], Any]] = [partial(asked_sizes, args)]
    checks.append(check_masks if masks else partial(fields_by_part, args))
    if args.metrics:
        checks.append(partial(to_measure, args.metrics, ("image",)))
    checks += [partial(find, p.local) for p in args.checkpoints if p.local is not None]
    if args.data is not None and not faults_of(partial(fields_by_part, args)):
        changes = fields_by_part(args)["data"]
        checks.append(partial(data_set, {"name": args.data}, changes, "data."))
    if faults := faults_of(*checks):
        raise SpecError(faults)


def fields_by_part(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The fields that were set, by the part that they are of.

    Raises:
        SpecError: one of no part; all of them.
    """
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    faults = []
    for field, value in fields_of(args.fields, "data.root=DIR").items():
        part, _, name = field.partition(".")
        if part in found and name:
            found[part][name] = value
        else:
            told = ", ".join(f"{p}.FIELD" for p in PARTS)
            faults.append(f"--set {field}: choose of {told}")
    if faults:
        raise SpecError(faults)
    return found


def data_of(args: argparse.Namespace, changes: Mapping[str, Any], restored: Restored) -> DataConfig:
    """The set that was named, or the one that the network was trained on."""
    own = restored.values.get("data") or {}
    return data_set(own if args.data is None else {"name": args.data}, changes, "data.")


def retest_of(usual: Retest, split: str, fields: Mapping[str, Mapping[str, Any]]) -> Retest:
    """What is tested on, and how the network is told and sees it."""
    changes = {f"{p}.{name}": v for p in ("prompts", "tta") for name, v in fields[p].items()}
    changed: Retest = apply(usual, {"split": split, **changes})
    return changed


def to_measure(metrics: Sequence[str], sizes: Sequence[Resolution]) -> Measured:
    """What is computed.

    Raises:
        SpecError: no such metric, or a size that cannot be.
    """
    try:
        return Measured(metrics=tuple(metrics), resolutions=tuple(sizes))
    except ValueError as error:
        raise SpecError(list(dict.fromkeys(value_faults(error, "")))) from None


def asked_sizes(args: argparse.Namespace) -> tuple[Resolution, ...]:
    """What --resolutions says; nothing where it was not given.

    Raises:
        SpecError: a text that is no size, or a side that there may not be; all of them.
    """
    found: list[Resolution] = []
    faults = []
    for text in args.resolutions or ():
        sides = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
        if text == "image":
            found.append("image")
        elif sides and all(16 <= int(side) <= 8192 for side in sides.groups() if side):
            height, width = sides.groups()
            found.append(int(height) if width is None else (int(height), int(width)))
        else:
            faults.append(
                f"--resolutions {text}: give sides of 16 to 8192 pixels, as 256 or 128x192, or "
                "image"
            )
    if faults:
        raise SpecError(faults)
    return tuple(found)
