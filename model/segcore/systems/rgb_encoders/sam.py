"""`sam`: SAM's image encoder (Kirillov et al., arXiv 2304.02643), whose one scale a pyramid brings
to three.

Shape suffixes: B batch, H W image size, C channels, h w grid of patches.
"""

import dataclasses
from typing import Any, ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from transformers import SamVisionModel

from segcore.registry import STRICT
from segcore.systems.rgb_encoders.pyramid import PyramidEncoder, multiple_for, side_seen
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.rgb_encoders.sam_model import SamWeights, Size
from segcore.systems.system import Published
from segcore.systems.weights import LOCATION, Pretrained


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SamEncoderConfig(RgbEncoderConfig):
    """Which SAM, and what its weights start from: fields as those of `SamWeights`."""

    name: ClassVar[str] = "sam"
    size: Size = "nano"
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Meta's `sam_vit_{b,l,h}_*.pth`, a safetensors file, or a folder of transformers' SamModel;
    its prompts and mask decoder are read and left out."""
    hub: str | None = None
    """Name on the Hugging Face hub of a SamModel, such as facebook/sam-vit-base."""

    def __post_init__(self) -> None:
        self._weights()

    def _weights(self) -> SamWeights:
        return SamWeights(
            size=self.size, pretrained=self.pretrained, checkpoint=self.checkpoint, hub=self.hub
        )

    @property
    def width(self) -> int:
        """Channels of every level: of SAM's own neck."""
        return self._weights().width

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        return multiple_for(self._weights().patch)

    def build(self, side: int) -> "SamEncoder":
        """See `RgbEncoderConfig.build`. Position codes of another size are resized."""
        weights = self._weights()
        vit = weights.build(side_seen(side, weights.patch)).vision_encoder
        width = weights.width
        return SamEncoder(vit, side=side, patch=weights.patch, channels=width, width=width)


class SamEncoder(PyramidEncoder):
    """SAM's transformer and neck, and the pyramid."""

    def look(self, pixels_B3HW: Tensor) -> Tensor:
        """The image embedding."""
        embedding_BChw: Tensor = self.vit(pixels_B3HW).last_hidden_state
        return embedding_BChw

    def published(self) -> Published:
        """A SamVisionModel of transformers'."""
        vit: Any = self.vit
        with torch.device("meta"):  # a shell: all that is in it is replaced
            model = SamVisionModel(vit.config)
        model.vision_encoder = vit
        return self.as_published(model, "SAM's image encoder")
