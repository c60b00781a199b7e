"""Convolutional pieces of heads. GroupNorm, so that no statistic crosses samples.

And deep supervision (Lee et al., arXiv 1409.5185): a decoder's coarser maps, which are held against
the truth beside the last one.

Shape suffixes: B batch, C channels, K classes, h w feature size.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from segcore.batch import Batch, Prediction
from segcore.systems.pixels import logits_at

GROUPS = 8
"""Groups of every GroupNorm; channel counts are multiples of it."""
SideWeight = Annotated[float, Field(ge=0)]
"""Of the loss of each coarser map, beside that of the last; 0: there are no such maps."""
_SIDE = "side {}"


def conv_norm_act(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size, GroupNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(GROUPS, outputs),
        nn.ReLU(),
    )


def side_heads(width: int, outputs: int, scales: int, weight: float) -> nn.ModuleList:
    """A 1 x 1 convolution for each scale of a decoder but the last; none where they weigh nothing.

    Args:
        width: channels of the decoder.
        outputs: channels of the logits.
        scales: steps of the decoder, the last one among them.
        weight: of the loss of their maps.
    """
    count = scales - 1 if weight else 0
    return nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(count))


def drawn(heads: nn.ModuleList, scale: int, x_BChw: Tensor) -> dict[str, Tensor]:
    """What a prediction's `extras` have of a scale: its map (B, K, h, w), if it has a head."""
    return {_SIDE.format(scale): heads[scale](x_BChw)} if scale < len(heads) else {}


def loss_with_sides(loss: nn.Module, prediction: Prediction, batch: Batch, weight: float) -> Tensor:
    """A loss of the masks, and its weighted value of each coarser map, enlarged to their size.

    Args:
        loss: a system's, a mean over samples.
        prediction: whose `extras` have what `drawn` gave.
        batch: whose targets count.
        weight: of each coarser map.
    """
    value: Tensor = loss(prediction, batch)
    height, width = prediction.logits_BKhw.shape[-2:]
    scale = 0
    while (native := prediction.extras.get(_SIDE.format(scale))) is not None:
        side = Prediction(logits_at(native, (height, width)), {"native": native})
        value = value + weight * loss(side, batch)
        scale += 1
    return value


class NonBottleneck1D(nn.Module):
    """Residual block of two factorised 3 x 3 convolutions (ERFNet, as ESANet uses it)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False),
            nn.GroupNorm(GROUPS, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0)),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False),
            nn.GroupNorm(GROUPS, channels),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape."""
        out: Tensor = (x_BCHW + self.body(x_BCHW)).relu()
        return out
