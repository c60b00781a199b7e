"""Features at three strides from those of a plain transformer: the simple feature pyramid of ViTDet
(Li et al., arXiv 2203.16527, section 3). It is begun at random and belongs to the head.

Shape suffixes: B batch, H W image size, C channels, h w grid of patches.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from sam2.modeling.position_encoding import PositionEmbeddingSine
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from segcore.systems.pixels import IMAGENET_MEAN, IMAGENET_STD, Standardise, resize, taken_out
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, Levels, RgbEncoder
from segcore.systems.system import Part, Published
from segcore.systems.weights import moves


def stride_of(patch: int) -> int:
    """Pixels of the image that a patch stands for: the power of two that is nearest to its side.

    A transformer whose patches are not of that side sees the image at another size (see
    `side_seen`), so that all features are at strides of 4, 8 and 16: at 14/16 of it for patches of
    14 pixels.
    """
    return int(2 ** round(math.log2(patch)))


def side_seen(side: int, patch: int) -> int:
    """Side of the image that a transformer of such patches sees where the system's has `side`."""
    return side // stride_of(patch) * patch


def multiple_for(patch: int) -> int:
    """What the image's side must be a multiple of, so that every level has whole features."""
    return max(STRIDES[-1], stride_of(patch))


class FeaturePyramid(nn.Module):
    """Deconvolutions for finer levels, max pooling for coarser ones, and two convolutions each."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """Begin at random.

        Args:
            channels: of the features that come in.
            width: channels of every level.
            stride: of the features that come in.
        """
        super().__init__()
        self.levels = nn.ModuleDict({str(s): _level(channels, width, stride / s) for s in STRIDES})

    def forward(self, x_BChw: Tensor) -> Levels:
        """The levels by stride."""
        return {stride: self.levels[str(stride)](x_BChw) for stride in STRIDES}


def _level(channels: int, width: int, factor: float) -> nn.Sequential:
    """A level of `factor` times the size."""
    steps: list[nn.Module] = []
    while factor > 1:
        steps.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels, factor = channels // 2, factor / 2
        if factor > 1:
            steps += [LayerNorm2d(channels), nn.GELU()]
    while factor < 1:
        steps.append(nn.MaxPool2d(2))
        factor *= 2
    for inputs, kernel in ((channels, 1), (width, 3)):
        conv = nn.Conv2d(inputs, width, kernel, padding=kernel // 2, bias=False)
        steps += [conv, LayerNorm2d(width)]
    return nn.Sequential(*steps)


class PyramidEncoder(RgbEncoder):
    """A pretrained transformer of one scale, and a pyramid on its features."""

    def __init__(
        self,
        vit: nn.Module,
        *,
        side: int,
        patch: int,
        channels: int,
        width: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """Put a pyramid on a transformer that is built for `side_seen(side, patch)`.

        Args:
            vit: the transformer.
            side: of the image, pixels.
            patch: side of the transformer's patches, pixels.
            channels: of its features.
            width: channels of every level.
            mean: of the pixels that it was trained on.
            std: their standard deviation.
        """
        super().__init__()
        self.vit = vit
        self.pyramid = FeaturePyramid(channels, width, stride_of(patch))
        self._codes = PositionEmbeddingSine(width, warmup_cache=False)
        self._side, self._pixels = side_seen(side, patch), taken_out(mean, std)
        self.standardise = Standardise(mean, std)

    @abstractmethod
    def look(self, pixels_B3HW: Tensor) -> Tensor:
        """The transformer's features (B, C, h, w) of standardised pixels of its own size."""

    def forward(self, image_B3HW: Tensor) -> tuple[Levels, Levels]:
        """See `RgbEncoder.forward`."""
        with torch.set_grad_enabled(moves(self.vit)):
            seen_B3HW = resize(image_B3HW, (self._side, self._side))
            x_BChw = self.look(self.standardise(seen_B3HW))
        levels = self.pyramid(x_BChw)
        return levels, {stride: self._codes(level) for stride, level in levels.items()}

    def parts(self) -> Mapping[str, Part]:
        """The transformer is pretrained, the pyramid is not."""
        return {"vit": Part(self.vit, "pretrained"), "pyramid": Part(self.pyramid, "head")}

    def as_published(self, model: nn.Module, name: str) -> Published:
        """The transformer for other programs.

        Args:
            model: as they load it.
            name: for a person.
        """
        return Published(model, name, self._pixels, (self._side, self._side))
