"""Several trainings of one network as a network: their probabilities are averaged.

Deep ensembles (Lakshminarayanan et al., arXiv 1612.01474): the same network, trained from other
seeds. Every member is on the device, so that memory is that of all weights and of one forward pass.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from segcore.batch import FINISHED, Batch, Modality, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.config import to_json
from segcore.systems.system import System
from segcore.training.restore import Restored
from segcore.training.tta import logits_of


class Ensemble(nn.Module):
    """Networks of one configuration, in evaluation mode, asked together."""

    def __init__(self, members: Sequence[System], classes: ClassSpec) -> None:
        """Put them together.

        Args:
            members: at least one.
            classes: of their logits.
        """
        super().__init__()
        self.members = nn.ModuleList(members)
        self._classes = classes

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Logits (B, K, *size) whose probabilities are the members' means, and the means of their
        maps. Arguments as of `System.forward`."""
        found = [member(batch, size, progress) for member in self.members]
        shares = [self._classes.probabilities(one.logits_BKhw.float()) for one in found]
        mean_BKhw = torch.stack(shares).mean(0)
        maps = {
            name: torch.stack([one.maps[name].float() for one in found]).mean(0)
            for name in found[0].maps
        }
        return Prediction(logits_of(mean_BKhw, self._classes), maps=maps)

    @property
    def remembers(self) -> Modality | None:
        """As of `System.remembers`: each member keeps features of its own."""
        first = self.members[0]
        assert isinstance(first, System)
        return first.remembers


Network = System | Ensemble
"""What predicts."""


def network_of(members: Sequence[tuple[str, Restored]]) -> Network:
    """The network of a checkpoint, or of several checkpoints together.

    Args:
        members: with their names, for messages; at least one.

    Raises:
        ValueError: they tell other classes apart, or see images otherwise; all of it.
    """
    (first, one), *others = members
    faults = [
        f"{name} can't be averaged with {first}: {difference}"
        for name, other in others
        for difference in _differences(one, other)
    ]
    if faults:
        raise ValueError("\n".join(faults))
    if not others:
        return one.system
    return Ensemble([member.system for _, member in members], one.classes)


def _differences(one: Restored, other: Restored) -> Iterator[str]:
    """What keeps two networks from being asked alike; their methods and seeds may differ."""
    if one.classes != other.classes:
        yield f"it has the classes {other.classes}, not {one.classes}"
    parts = {"system": (one.config, other.config), "evaluation.tta": (one.tta, other.tta)}
    parts["prompts"] = (one.prompts, other.prompts)
    for part, (mine, its) in parts.items():
        before, after = (dict(_flat(to_json(c, locations=False), part)) for c in (mine, its))
        for field in sorted(before.keys() | after.keys()):
            if before.get(field) != after.get(field) and not field.startswith("system.loss"):
                yield f"its {field} is {after.get(field)!r}, not {before.get(field)!r}"
    for field in ("precision", "window", "shrinking", "depth_range"):
        mine, its = getattr(one, field), getattr(other, field)
        if mine != its:
            yield f"its {field} is {its!r}, not {mine!r}"


def _flat(values: Mapping[str, object], path: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}", value
