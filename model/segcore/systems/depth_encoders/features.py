"""Features of an encoder that does not move, kept for images that come again.

Shape suffixes: B batch, C channels, H W image size, L tokens.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

KEPT_BYTES = 2**30
"""Most that one network keeps. Of Depth-Anything-V2-Small an image has 2.1 MB, of nano 0.1 MB."""

Key = tuple[str, torch.device, torch.dtype, torch.dtype | None]
"""The input's hash, and what its numbers are computed on and in."""


class KeptFeatures:
    """Features by the hash of what was looked at.

    In the host's memory also where a GPU computes: a GPU's memory is what methods are compared by,
    and a copy is quicker than an encoder. Not on disk: that would save each training one pass over
    its images. Nothing is evicted: epochs visit all images alike, so any kept subset is as good.
    """

    def __init__(self) -> None:
        self._kept: dict[Key, Tensor] = {}

    def __len__(self) -> int:
        """Images that are kept."""
        return len(self._kept)

    def clear(self) -> None:
        """Forget everything: the encoder's weights are others now."""
        self._kept.clear()

    def of(
        self,
        encode: Callable[[Tensor], Tensor],
        image_BCHW: Tensor,
        hashes: Sequence[str],
        most_bytes: int,
    ) -> Tensor:
        """The features (B, L, C) of images, from memory or else from the encoder.

        Args:
            encode: the encoder, whose features are float tensors of one size.
            image_BCHW: what it looks at.
            hashes: of each image.
            most_bytes: new ones are kept up to here.
        """
        device = image_BCHW.device
        computed_in = None
        if torch.is_autocast_enabled(device.type):
            computed_in = torch.get_autocast_dtype(device.type)
        rows = []
        for i, name in enumerate(hashes):
            key = (name, device, image_BCHW.dtype, computed_in)
            if key not in self._kept:
                # Alone: an image's last bits can depend on the rest of its batch, and the features
                # of a batch must not depend on which of them were kept.
                row_LC = encode(image_BCHW[i : i + 1])[0]
                self._keep(key, row_LC, most_bytes)
            else:
                row_LC = self._kept[key].to(device, non_blocking=True)
            rows.append(row_LC)
        return torch.stack(rows)

    def _keep(self, key: Key, row_LC: Tensor, most_bytes: int) -> None:
        if (len(self._kept) + 1) * row_LC.nbytes <= most_bytes:
            self._kept[key] = _on_the_host(row_LC)


def _on_the_host(x: Tensor) -> Tensor:
    """A copy in memory that a GPU reads and writes by itself, so that nobody waits for it: what is
    sent back later comes after it on the GPU's stream. On a CPU the tensor itself."""
    if x.device.type == "cpu":
        return x
    return torch.empty_like(x, device="cpu").pin_memory().copy_(x, non_blocking=True)
