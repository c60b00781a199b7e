"""What every encoder of depth offers: one map of features, kept for images that come again.

Shape suffixes: B batch, H W image size, L tokens, C channels, h w token grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from segcore.registry import Choice
from segcore.systems.depth_encoders import DEPTH_ENCODERS
from segcore.systems.depth_encoders.features import KEPT_BYTES, KeptFeatures
from segcore.systems.weights import Pretrained, moves
from segcore.tables import Table

Source = Literal["map", "image"]
"""`map`: the batch's depth map as a grey image. `image`: the RGB image, as Depth Anything was
trained for and as SRFT-GaLore's code does, whose depth input is unused."""


class DepthEncoder(nn.Module, ABC):
    """RGB or a depth map in, one feature map out.

    While no parameter moves, features of named images are kept (see `KeptFeatures`). Weights of a
    frozen encoder change by `load_state_dict` alone, which forgets them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept = KeptFeatures()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda encoder, _: encoder._kept.clear()
        )

    @abstractmethod
    def look(self, image_B3HW: Tensor) -> Tensor:
        """What is kept of each image, (B, L, C), which must not depend on the others.

        Args:
            image_B3HW: in [0, 1], of any size.
        """

    @abstractmethod
    def as_map(self, tokens_BLC: Tensor) -> Tensor:
        """The features (B, C, h, w) in what `look` gave."""

    @property
    def frozen(self) -> bool:
        """Whether no parameter moves."""
        return not any(p.requires_grad for p in self.parameters())

    def forward(self, image_B3HW: Tensor, hashes: Sequence[str] | None = None) -> Tensor:
        """Features (B, C, h, w) of the last layer, normalised.

        Args:
            image_B3HW: in [0, 1]; resized to the size that the encoder was pretrained at.
            hashes: of each image, where it may come again.
        """
        if not self.frozen:
            self._kept.clear()
        with torch.set_grad_enabled(moves(self)):
            if hashes is None or not self.frozen:
                tokens_BLC = self.look(image_B3HW)
            else:
                # Evaluation sees each image in every epoch, training only some forms of it.
                most_bytes = KEPT_BYTES // 2 if self.training else KEPT_BYTES
                tokens_BLC = self._kept.of(self.look, image_B3HW, hashes, most_bytes)
            return self.as_map(tokens_BLC)


class DepthEncoderConfig(Choice):
    """Base of the rows: frozen pydantic dataclasses."""

    table: ClassVar[Table] = DEPTH_ENCODERS

    source: Source
    """What it looks at."""
    pretrained: Pretrained
    checkpoint: str | None
    hub: str | None

    @property
    def width(self) -> int:
        """Channels of the features."""
        raise NotImplementedError

    def build(self) -> DepthEncoder:
        """The encoder on the CPU, its weights loaded.

        Raises:
            ValueError: the weights cannot be read or do not fit.
        """
        raise NotImplementedError
