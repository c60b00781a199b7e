"""Convolutional pieces of heads. GroupNorm, so that no statistic crosses samples."""

from torch import Tensor, nn

GROUPS = 8
"""Groups of every GroupNorm; channel counts are multiples of it."""


def conv_norm_act(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size, GroupNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(GROUPS, outputs),
        nn.ReLU(),
    )


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
