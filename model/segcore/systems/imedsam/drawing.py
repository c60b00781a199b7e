"""The masks of an image, drawn by asking the field at every point of them.

Shape suffixes: H W asked-for size, P points, F features of a point, E of its coordinates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Progress, Size
from segcore.systems.imedsam.coordinates import CoordinateConfig, grid
from segcore.systems.imedsam.field import ImplicitField
from segcore.systems.imedsam.uncertainty import SamplingConfig, dropped, estimate

CHUNK = 65_536
"""Points that the field looks at together when nothing is trained: 896 x 896 take 2.9 GB, and 8.4
in one piece."""


@dataclass(frozen=True)
class Drawing:
    """How a field is asked: its coarse part everywhere, its fine one where that is least sure."""

    field: ImplicitField
    sampling: SamplingConfig
    coordinates: CoordinateConfig
    progress: Progress
    training: bool

    def image(
        self, maps: list[Tensor], size: Size, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse logits, fine ones and uncertainty in [0, 1] of one image, (classes, H, W) each.

        Args:
            maps: features (N, channels, h, w) that are sampled at each point, of one box for all
                classes or of one for each.
            size: of the masks.
            generator: of what is random.
        """
        points_P2 = grid(size, maps[0].device)
        chunks = [points_P2] if self.training else list(points_P2.split(CHUNK))
        found = []
        for k in range(len(self.field.coarse_heads)):
            own = [m[min(k, len(m) - 1)] for m in maps]  # one box may stand for all classes
            looks = [self._coarse(own, p, k, generator) for p in chunks]
            coarse_P, unsure_P = (torch.cat(parts) for parts in zip(*looks, strict=True))
            fine_P = self._refined(own, points_P2, coarse_P, unsure_P, k, generator)
            found.append((coarse_P, fine_P, unsure_P.detach()))
        coarse, fine, unsure = (torch.stack(p).unflatten(1, size) for p in zip(*found, strict=True))
        # The standard deviation of a probability is a half at most, that of outputs is not.
        shown = 2 * unsure.clamp(min=0).sqrt()
        return coarse, fine, shown / shown.amax().clamp(min=1)

    def _coarse(
        self,
        maps: list[Tensor],
        points_P2: Tensor,
        class_index: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Coarse logit and uncertainty of points, (P,) each."""
        sampling, head = self.sampling, self.field.coarse_heads[class_index]
        assert isinstance(head, nn.Linear)
        hidden_PW = self.field.look(self._told(maps, points_P2))
        logit_P = head(hidden_PW)[:, 0]
        if sampling.ratio == 0:
            return logit_P, torch.zeros_like(logit_P)
        if self.training and sampling.estimator == "as_coded":
            logit_P = dropped(logit_P, sampling.dropout, generator)
        if not self.training and not sampling.at_evaluation:
            return logit_P, torch.zeros_like(logit_P)
        with torch.no_grad():
            return logit_P, estimate(hidden_PW, head, sampling, generator)

    def _refined(
        self,
        maps: list[Tensor],
        points_P2: Tensor,
        coarse_P: Tensor,
        unsure_P: Tensor,
        class_index: int,
        generator: torch.Generator,
    ) -> Tensor:
        """The coarse logits with those of the least sure points replaced by the fine field's."""
        count = round(self.sampling.ratio * len(points_P2))
        if count == 0:
            return coarse_P
        chosen_P = unsure_P.topk(count).indices
        chunks = [chosen_P] if self.training else list(chosen_P.split(CHUNK))
        head, refined = self.field.coarse_heads[class_index], []
        for chosen in chunks:
            told_PF = self._told(maps, points_P2[chosen])
            handed_on = head(self.field.look(told_PF))[:, 1:]
            if self.training and self.sampling.estimator == "as_coded":
                handed_on = dropped(handed_on, self.sampling.dropout, generator)
            refined.append(self.field.refine(told_PF, handed_on, class_index))
        return coarse_P.index_copy(0, chosen_P, torch.cat(refined).to(coarse_P.dtype))

    def _told(self, maps: list[Tensor], points_P2: Tensor) -> Tensor:
        """What the field is told of points, (P, F): features, then coordinates."""
        coordinates = self.coordinates
        x_11P2 = points_P2.flip(1)[None, None]  # grid_sample wants x before y
        parts = [
            F.grid_sample(m[None].float(), x_11P2, padding_mode="border", align_corners=False)
            for m in maps
        ]
        code_PE = coordinates.encode(points_P2)
        code_PE = code_PE * (torch.arange(code_PE.shape[1], device=code_PE.device)
                             < coordinates.told(self.progress))  # fmt: skip
        return torch.cat([*(p[0, :, 0].T for p in parts), code_PE], dim=1)


def too_large(size: Size, images: int, classes: int) -> str:
    """Why masks cannot be drawn, for a person."""
    height, width = size
    gib = 4 * 4 * images * classes * height * width / 2**30
    return (
        f"masks of {height} x {width} do not fit the memory: with what they are made of they take "
        f"some {gib:.1f} GiB for {images} images and {classes} classes, although the field looks "
        f"at {CHUNK} points at a time. Ask for smaller masks, or for fewer images at once"
    )
