"""What every encoder does to its pixels first.

Shape suffixes: B batch, C channels, H W image size, h w asked-for size.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resize(x_BCHW: Tensor, size: Size) -> Tensor:
    """Images at another size, bilinear and low-passed when they shrink."""
    if x_BCHW.shape[-2:] == size:
        return x_BCHW
    return F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False, antialias=True)


def enlarge(x_BCHW: Tensor, size: Size) -> Tensor:
    """Maps and logits at another size, bilinear; not low-passed: it is meant for larger sizes."""
    return F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False)


def standardise(image_B3HW: Tensor) -> Tensor:
    """An image in [0, 1] with ImageNet's mean and standard deviation taken out."""
    mean_311 = torch.tensor(IMAGENET_MEAN, device=image_B3HW.device).view(3, 1, 1)
    std_311 = torch.tensor(IMAGENET_STD, device=image_B3HW.device).view(3, 1, 1)
    return (image_B3HW - mean_311) / std_311
