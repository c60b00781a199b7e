"""What every system offers: a prediction at any size, its loss, and what may be adapted."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Modality, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.loss import Loss
from segcore.registry import Choice
from segcore.systems import SYSTEMS
from segcore.tables import Table

LARGEST_SIDE = 4096
"""Of an image that a network sees, pixels: what is above it is a slip of the hand, and would ask
for more memory than there is before anything could say so."""
Targets = Literal["attention", "attention+mlp"]


Role = Literal["pretrained", "tuned", "head"]
"""`pretrained`: the method decides whether and how it moves. `tuned`: pretrained, and trained by
every method. `head`: begun at random, and trained by every method."""


@dataclass(frozen=True)
class Part:
    """A module of a system and what training does with it."""

    module: nn.Module
    role: Role
    rate: float = 1.0
    """Factor of the learning rate that its parameters are given."""


@dataclass(frozen=True)
class Published:
    """A pretrained model within a system, of a kind that other programs load."""

    model: nn.Module
    """With what training made of it, and nothing of the system's own."""
    name: str
    """For a person: `SAM2's image encoder`."""
    pixels: str
    """What is done to them first, in words: see `segcore.systems.pixels.taken_out`."""
    size: Size | None = None
    """Of the images that it sees, pixels; None: the system's."""


class System(nn.Module, ABC):
    """A whole network, made of parts."""

    repeats: ClassVar[bool] = False
    """Whether `forward` and `loss` launch the same kernels for every batch of one form: the host
    reads nothing of the device, and `progress` changes nothing. A GPU may then replay them."""

    @abstractmethod
    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits (B, K, *size).

        What is random in evaluation mode must be seeded by `batch.sample_ids` alone: a score must
        depend neither on the global random state nor on the other samples of the batch.

        Args:
            batch: what to look at; of any size.
            size: of the logits.
            progress: how far the training is.
        """

    @abstractmethod
    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """Mean loss over the samples of a batch, as a scalar.

        The mean must be linear in the samples (no statistic across them), so that any split of a
        batch over microbatches and workers gives the same gradient.

        Args:
            prediction: what `forward` gave.
            batch: the same batch.
            progress: how far the training is.
        """

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """The parts by attribute path. Every parameter is in exactly one of them."""

    def pretrained(self) -> Mapping[str, nn.Module]:
        """The modules of the parts that the method decides about, by attribute path."""
        return {n: part.module for n, part in self.parts().items() if part.role == "pretrained"}

    @abstractmethod
    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """The pretrained projections that low-rank methods adapt, by module path."""

    def fused_qkv(self) -> Mapping[str, nn.Linear]:
        """Those of `adaptable("attention")` whose outputs are queries, keys and values, a third
        each, by module path: those called `qkv`, as SAM, SAM2 and timm call them."""
        attention = self.adaptable("attention")
        return {name: module for name, module in attention.items() if name.endswith(".qkv")}

    def separate_qv(self) -> Mapping[str, nn.Linear]:
        """Those of `adaptable("attention")` whose outputs are queries or values alone, by module
        path: those called `q_proj` and `v_proj`, as transformers calls SAM3's and DINOv3's."""
        attention = self.adaptable("attention")
        alone = (".q_proj", ".v_proj")
        return {name: module for name, module in attention.items() if name.endswith(alone)}

    @abstractmethod
    def weights_hash(self) -> str:
        """Hash of the pretrained weights as they were loaded; `none` where there are none."""

    def published(self) -> Published | None:
        """What of it other programs can use; None: nothing."""
        return None

    @property
    def remembers(self) -> Modality | None:
        """The part of a sample of which it keeps features, if batches bring hashes of it; None if
        it keeps nothing."""
        return None


_ATTENTION, _MLP = (".attn.", ".attention."), ".mlp."
"""What stands between a block's path and a linear map's name, as libraries call it."""


def projections(encoder: nn.Module, *, mlp: bool) -> dict[str, nn.Linear]:
    """An encoder's linear maps by module path: attention's queries, keys and values, fused or not,
    and output, and the MLPs' if asked for. Others, such as SAM2's shortcuts between stages, are not
    among them."""
    wanted = (*_ATTENTION, _MLP) if mlp else _ATTENTION
    return {
        name: module
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and any(part in name for part in wanted)
    }


def within_block(path: str) -> tuple[str, Literal["attention", "mlp"]]:
    """Of a projection's module path: its block's, and whether it is the attention's or the MLP's.

    Raises:
        ValueError: it is no projection's.
    """
    if _MLP in path:
        return path.rpartition(_MLP)[0], "mlp"
    for part in _ATTENTION:
        if part in path:
            return path.rpartition(part)[0], "attention"
    raise ValueError(f"{path} is no projection of a block")


def transformer_blocks(encoder: nn.Module) -> dict[str, nn.Module]:
    """An encoder's transformer blocks by module path, lowest first: the members of its innermost
    lists of which each has an attention."""
    found: dict[str, nn.Module] = {}
    for name, module in encoder.named_children():
        inner = {f"{name}.{path}": block for path, block in transformer_blocks(module).items()}
        if not inner and isinstance(module, nn.ModuleList | nn.Sequential):
            blocks = [*module.named_children()]
            if all(_has_attention(block) for _, block in blocks):
                inner = {f"{name}.{number}": block for number, block in blocks}
        found |= inner
    return found


def _has_attention(block: nn.Module) -> bool:
    names = (name.rpartition(".")[2] for name, _ in block.named_modules())
    return any(name in ("attn", "attention") for name in names)


class SystemConfig(Choice):
    """Base of the systems' configurations: frozen pydantic dataclasses."""

    table: ClassVar[Table] = SYSTEMS

    image_size: int
    """Side of the square input image, pixels; of another shape `input_size` tells."""
    loss: Loss
    """What the system is trained by."""

    @property
    def input_size(self) -> Size:
        """Height and width of the images that the system sees."""
        return self.image_size, self.image_size

    @property
    def takes_prompts(self) -> bool:
        """Whether the system looks at box prompts."""
        return False

    @property
    def needs_depth(self) -> bool:
        """Whether every image must come with a depth map."""
        return False

    @property
    def has_queries(self) -> bool:
        """Whether predictions have queries, which a loss of queries looks at."""
        return False

    @property
    def gradients_in_frozen_blocks(self) -> bool:
        """Whether gradients run through a frozen encoder's transformer blocks, on their way to what
        every method trains: an adapter before a block, or a layer before the encoder."""
        return False

    def check_weights(self) -> None:
        """Read the user's weight files, so that what is wrong with them is known beforehand.

        Raises:
            ValueError: files are missing or do not fit; all of them.
        """
        raise NotImplementedError

    def build(self, classes: ClassSpec) -> System:
        """Build the network on the CPU from the global RNG, its pretrained weights loaded."""
        raise NotImplementedError
