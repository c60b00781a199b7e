"""What every encoder does to its pixels first.

Shape suffixes: B batch, C channels, H W image size, h w asked-for size.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


Resampling = Literal["bilinear", "bicubic"]


def resize(x_BCHW: Tensor, size: Size, resampling: Resampling = "bilinear") -> Tensor:
    """Images at another size, low-passed when they shrink.

    Args:
        x_BCHW: the images.
        size: asked for.
        resampling: between pixels; `bicubic` may leave [0, 1].
    """
    if x_BCHW.shape[-2:] == size:
        return x_BCHW
    return F.interpolate(x_BCHW, size, mode=resampling, align_corners=False, antialias=True)


def enlarge(x_BCHW: Tensor, size: Size) -> Tensor:
    """Maps at another size, bilinear; not low-passed: it is meant for larger sizes."""
    return F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False)


Enlarging = Literal["bilinear", "nearest"]


def logits_at(native_BKhw: Tensor, size: Size, how: Enlarging = "bilinear") -> Tensor:
    """Logits at another size, in float32: in bfloat16 neighbours round to the same number, and
    which class is the largest is lost."""
    if how == "nearest":
        return F.interpolate(native_BKhw.float(), size, mode="nearest")
    return enlarge(native_BKhw.float(), size)


class Standardise(nn.Module):
    """Takes a mean and a standard deviation out of images in [0, 1], ImageNet's if no others are
    given. They lie where the network does: sent along with each batch, a GPU would be waited for.
    """

    mean_311: Tensor
    std_311: Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.register_buffer("mean_311", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std_311", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """The images, standardised."""
        return (image_B3HW - self.mean_311) / self.std_311


def standardise(image_B3HW: Tensor) -> Tensor:
    """What `Standardise` does, with ImageNet's numbers, to images on the CPU."""
    out: Tensor = Standardise()(image_B3HW)
    return out


def taken_out(mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> str:
    """What `Standardise` does, in words."""
    if (tuple(mean), tuple(std)) == (IMAGENET_MEAN, IMAGENET_STD):
        return "ImageNet's mean and standard deviation taken out"
    numbers = (", ".join(f"{x:g}" for x in values) for values in (mean, std))
    return "the mean ({}) and the standard deviation ({}) taken out".format(*numbers)


AS_IT_IS = "as it is"
"""Of pixels that nothing is done to, in words."""
