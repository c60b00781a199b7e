"""The DINOv2 (Oquab et al., arXiv 2304.07193) that Depth Anything's encoders are, by transformers.

Shape suffixes: B batch, H W image size, L tokens, C channels, h w token grid.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from segcore.systems.depth_encoders.depth_encoder import DepthEncoder
from segcore.systems.pixels import Resampling, Standardise, resize

if TYPE_CHECKING:
    from transformers import Dinov2Config

SIDE, PATCH = 518, 14
"""Of the image that Depth Anything's encoders see and of the square that becomes one token,
pixels."""


def backbone_config(
    width: int,
    layers: int,
    heads: int,
    read: list[int],
    *,
    mask_token: bool,
    side: int = SIDE,
    patch: int = PATCH,
) -> "Dinov2Config":
    """A transformer of Depth Anything's.

    Args:
        width: channels.
        layers: blocks.
        heads: of each block's attention.
        read: blocks, counted from 1, that Depth Anything's own head reads; only the last is used
            here.
        mask_token: whether it has one, which stands in for hidden patches in pretraining.
        side: of the square image that it sees, pixels.
        patch: side of the square that becomes one token, pixels.
    """
    from transformers import Dinov2Config  # seconds, for those who build one alone

    return Dinov2Config.from_dict(
        {
            "image_size": side,
            "patch_size": patch,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "mlp_ratio": 4,
            "out_indices": read,
            "reshape_hidden_states": False,
            "use_mask_token": mask_token,
        }
    )


class Dinov2DepthEncoder(DepthEncoder):
    """A DINOv2 that sees images of one size."""

    def __init__(self, config: "Dinov2Config", resampling: Resampling, *, shifted: bool) -> None:
        """Begin at random.

        Args:
            config: of the transformer.
            resampling: how what it looks at is brought to its size.
            shifted: whether the class token is kept and the last patch left out.
        """
        super().__init__()
        from transformers.models.dinov2 import Dinov2Backbone

        self.backbone, self.standardise = Dinov2Backbone(config), Standardise()
        side, patch = config.image_size, config.patch_size
        assert isinstance(side, int)
        assert isinstance(patch, int)
        self._input, self._side = side, side // patch
        self._resampling = resampling
        self._first = 0 if shifted else 1  # the class token comes before the patches

    def look(self, image_B3HW: Tensor) -> Tensor:
        """The class token and all patches, (B, 1 + h * w, C)."""
        x_B3HW = self.standardise(resize(image_B3HW, (self._input, self._input), self._resampling))
        tokens_BLC: Tensor = self.backbone(x_B3HW).feature_maps[-1]
        return tokens_BLC

    def as_map(self, tokens_BLC: Tensor) -> Tensor:
        """The patches in their places."""
        tokens_BLC = tokens_BLC[:, self._first : self._first + self._side**2]
        return tokens_BLC.transpose(1, 2).reshape(len(tokens_BLC), -1, self._side, self._side)
