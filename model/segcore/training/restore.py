"""A checkpoint folder as the network that it describes, with nothing of its training left."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segcore.classes import ClassSpec
from segcore.config import from_json
from segcore.data.pixels import DepthRange, Shrinking
from segcore.data.prompts import PromptConfig
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.registry import Choice
from segcore.systems import SYSTEMS
from segcore.systems.system import System, SystemConfig
from segcore.systems.weights import only_cached
from segcore.tables import Table
from segcore.training.checkpoint import BEST, CONFIG, CheckpointError, read_best, restore_tensors
from segcore.training.runtime import Precision
from segcore.training.tta import TtaConfig

DESCRIBED: Mapping[str, type] = {
    "config.system.name": str,
    "config.method.name": str,
    "config.seed": int,
    "classes.names": list,
    "classes.exclusive": bool,
    "weights_hash": str,
}
"""What `config.json` must say of a network, by dotted field."""


@dataclass(frozen=True)
class Restored:
    """A trained network, to predict with or to export."""

    system: System
    """On the CPU, in evaluation mode; its adapters folded in, so that it has the modules of an
    unadapted one, or as training had them."""
    config: SystemConfig
    method: Method
    classes: ClassSpec
    window: tuple[float, float] | None
    """The values that were black and white where it was trained on volumes; None: on pictures."""
    tta: TtaConfig = dataclasses.field(default_factory=TtaConfig)
    """How often it saw each image when it was scored."""
    prompts: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    """The boxes that it was trained with."""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The whole configuration of its training, as `segcore.config.to_json` writes it without
    locations."""
    shrinking: Shrinking = "area"
    """How its images were made smaller."""
    depth_range: DepthRange | None = None
    """The nearest and farthest values of its depth maps of 16 bits; None: they had 8."""
    precision: Precision = "float32"
    """Of the forward pass that it was trained and scored with."""


def restore(
    path: Path, locations: Mapping[str, str] | None = None, *, as_trained: bool = False
) -> Restored:
    """Build the network of a checkpoint and put its best epoch's weights in.

    Args:
        path: a checkpoint folder, or a trial's folder in a study's results (see `find`).
        locations: where pretrained weights lie, by dotted field (`system.rgb.checkpoint`). A
            checkpoint holds only what training changed, and no places. Weights that it knows by
            their name on the hub are used from the hub's cache, but never downloaded.
        as_trained: adapters stay modules of their own: what the network says then has the digits
            that it had when training tested it, and not others by rounding.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or other pretrained weights than its own.
        ValueError: pretrained weights are missing or do not fit; all of them.
    """
    folder = find(path)
    description, tensors = read_best(folder)
    if lacking := [f for f, kind in DESCRIBED.items() if not isinstance(_at(description, f), kind)]:
        raise CheckpointError(
            f"{folder / CONFIG} does not say {', '.join(lacking)}: it is not segtune's, it is "
            "damaged, or it is older than predictions. Give another epoch's, or train again."
        )
    values = description["config"]
    faults = [
        f"{folder} was trained with {table.kind} {name!r}, which is not known here: give the file "
        "that registers it, such as its study's own, with --plugin FILE"
        for table, name in _rows(values)
        if name not in table
    ]
    if faults:
        raise CheckpointError("\n".join(faults))
    config = from_json(SystemConfig, _located(values["system"], locations or {}))
    method = from_json(Method, values["method"])
    names, exclusive = description["classes"]["names"], description["classes"]["exclusive"]
    classes = ClassSpec(tuple(names), exclusive)
    with torch.random.fork_rng(devices=[]), only_cached(_on_hub(values["system"])):
        torch.manual_seed(values["seed"])  # encoders that stayed random are made again
        system = _build(config, classes)
        if system.weights_hash() != description["weights_hash"]:
            raise CheckpointError(
                f"{folder} was trained from other pretrained weights (hash "
                f"{description['weights_hash'][:12]}, these have {system.weights_hash()[:12]}): "
                "give the files that it was trained from"
            )
        method.adapt(system)
    restore_tensors(system, tensors)
    if not as_trained:
        if method.mergeable:
            method.merge(system)
        system.requires_grad_(False)
    window, depth = description.get("window"), description.get("depth_range")
    return Restored(
        system.eval(),
        config,
        method,
        classes,
        None if window is None else (float(window[0]), float(window[1])),
        # Older checkpoints say nothing of these, and saw each image once.
        from_json(TtaConfig, _at(description, "config.evaluation.tta") or {}),
        from_json(PromptConfig, _at(description, "config.prompts") or {}),
        values=values,
        shrinking="linear" if description.get("shrinking") == "linear" else "area",
        depth_range=None if depth is None else (int(depth[0]), int(depth[1])),
        precision="bfloat16" if _at(description, "config.precision") == "bfloat16" else "float32",
    )


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[Table, str]]:
    """The rows that a training chose: its method, its system, and what that chose itself."""
    system = values["system"]
    yield METHODS, values["method"]["name"]
    yield SYSTEMS, system["name"]
    if system["name"] in SYSTEMS:
        hints = typing.get_type_hints(SystemConfig.choice(system["name"]))
        for field, inner in system.items():
            hint: Any = hints.get(field)
            if _is_choice(hint) and _names_a_row(inner):
                yield hint.table, inner["name"]


def _build(config: SystemConfig, classes: ClassSpec) -> System:
    """The system, or an error of all its weights where building stops at the first fault."""
    try:
        return config.build(classes)
    except ValueError:
        config.check_weights()
        raise


def _at(values: Any, field: str) -> Any:
    """What stands at a dotted field; None where there is none."""
    for name in field.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def find(path: Path) -> Path:
    """The folder that holds a checkpoint's files.

    Args:
        path: that folder, or a trial's (`results/demo/train/lora-s0`), whose latest checkpoint is
            meant; it holds the best epoch so far.

    Raises:
        CheckpointError: there is none; the message lists the trials of a study's folder.
    """
    if _is_checkpoint(path):
        return path
    if not path.is_dir():
        raise CheckpointError(f"no checkpoint at {path}: there is no such folder")
    epochs = [p for p in path.glob("epoch-*") if p.name[6:].isdigit() and _is_checkpoint(p)]
    if epochs:
        return max(epochs, key=lambda p: int(p.name[6:]))
    trials = sorted({p.parent.parent for p in path.glob("**/epoch-*/" + BEST)})
    if trials:
        raise CheckpointError(
            f"{path} holds {len(trials)} trials; give one of them:\n  "
            + "\n  ".join(str(p) for p in trials)
        )
    raise CheckpointError(
        f"no checkpoint in {path}: give a folder with {BEST} and {CONFIG}, or a trial's folder "
        "such as results/demo/train/lora-s0"
    )


def _is_checkpoint(folder: Path) -> bool:
    return (folder / BEST).is_file() and (folder / CONFIG).is_file()


def _located(system: dict[str, Any], locations: Mapping[str, str]) -> dict[str, Any]:
    """A system's values with the places of its weights among them.

    Raises:
        ValueError: a place that the system does not have, or lacks; all of them.
    """
    known = {f"system.{p}": p for p in _locations(SystemConfig.choice(system["name"]), system)}
    faults = [
        f"{field} is no place of weights of this checkpoint, which has {', '.join(known) or 'none'}"
        for field in locations
        if field not in known
    ]
    out: dict[str, Any] = dict(system)
    for field, path in known.items():
        *parents, name = path.split(".")
        part = out
        for parent in parents:
            part[parent] = dict(part.get(parent, {}))
            part = part[parent]
        if field in locations:
            part[name] = locations[field]
            if part.get("pretrained") == "hub":  # the same weights, by place in place of name
                part.update(pretrained="checkpoint", hub=None)
        elif part.get("pretrained") == "checkpoint":
            faults.append(f"{field}=PLACE is needed: where the pretrained weights lie")
    if faults:
        raise ValueError("\n".join(faults))
    return out


def _locations(config: type[Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted fields of a configuration that only say where something lies.

    Args:
        config: its class.
        values: its fields, of which those that choose of a table say which row.
        prefix: of every field.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        hint: Any = hints[field.name]
        inner: Any = values.get(field.name)
        if _is_choice(hint) and _names_a_row(inner):
            hint = hint.choice(inner["name"])
        if field.metadata.get("location"):
            yield prefix + field.name
        elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _locations(hint, inner or {}, f"{prefix}{field.name}.")


def _is_choice(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Choice)


def _names_a_row(values: Any) -> bool:
    return isinstance(values, Mapping) and "name" in values


def _on_hub(system: Mapping[str, Any]) -> dict[str, str]:
    """By name on the hub, the field that takes a folder in its place."""
    fields = _locations(SystemConfig.choice(system["name"]), system)
    parts = {f"system.{field}": _at(system, field.rpartition(".")[0]) for field in fields}
    return {part["hub"]: field for field, part in parts.items() if _at(part, "hub") is not None}
