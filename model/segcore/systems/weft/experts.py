"""Task-specific wavelet experts (WEFT's TWE): what is injected into the frozen transformer, at four
scales, by those experts that a router chooses for an image.

Shape suffixes: B batch, b chosen samples, C channels, E experts, H W image size, h w feature size.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import moved
from segcore.registry import STRICT
from segcore.systems.norms import Norm, norm_of
from segcore.systems.weft.wavelet import WaveletConv

PIECES = 4
"""Of an expert's input, each seen together with what came of the one before."""
SCALES = 4

Kernel = Annotated[int, Field(ge=1, le=31)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExpertConfig:
    """The pyramid of features beside the transformer, and the experts in it."""

    kernels: tuple[Kernel, ...] = (1, 3, 5, 7)
    """An expert for each; odd. The paper's are seven, up to 13. None: a plain convolutional
    pyramid, "base" in the paper."""
    top: Annotated[int, Field(ge=1)] = 2
    """Experts that the router chooses for an image at a scale; the paper's are 4."""
    router: Literal["renormalised", "twice"] = "renormalised"
    """How the chosen experts are weighed: by their shares of the softmax over all (the paper's), or
    by a second softmax over these shares, which makes them nearly equal (the code's)."""
    compute: Literal["chosen", "all"] = "chosen"
    """Which experts run. The code runs all of them and then takes the chosen ones' outputs: the
    same numbers for twice the time."""
    shared: bool = True
    """Whether all scales have the same experts, as in the code; the paper does not say."""
    width: int = Field(default=16, ge=8, multiple_of=PIECES)
    """Channels that the experts see; the code's are 64."""

    def __post_init__(self) -> None:
        faults = []
        if even := [k for k in self.kernels if k % 2 == 0]:
            faults.append(f"kernels = {self.kernels}: {', '.join(map(str, even))} is not odd")
        if len(set(self.kernels)) < len(self.kernels):
            faults.append(f"kernels = {self.kernels}: each must stand once")
        if self.kernels and self.top > len(self.kernels):
            faults.append(
                f"top = {self.top} of {len(self.kernels)} experts: choose at most as many as there "
                "are kernels"
            )
        if not self.kernels:
            defaults = (2, "renormalised", "chosen", True)
            given = (self.top, self.router, self.compute, self.shared)
            names = ("top", "router", "compute", "shared")
            faults += [
                f"{name} has no effect without kernels: leave it out"
                for name, own, usual in zip(names, given, defaults, strict=True)
                if own != usual
            ]
        if faults:
            raise ValueError("; ".join(faults))


class Pyramid(nn.Module):
    """A stem, a convolution that halves, and experts: features at strides 4, 8, 16 and 32."""

    def __init__(self, config: ExpertConfig, outputs: int, norm: Norm) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            norm_of(width, norm),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.halve = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1), norm_of(width, norm), nn.ReLU()
        )
        self.widen = nn.Conv2d(width, outputs, 1)
        banks = (1 if config.shared else SCALES) if config.kernels else 0
        self.banks = nn.ModuleList(Bank(config, norm) for _ in range(banks))

    def forward(self, image_B3HW: Tensor) -> tuple[list[Tensor], list["Choice"]]:
        """Features (B, C, h, w), finest first, and what was chosen at each scale (empty without
        experts)."""
        x_BChw: Tensor = self.stem(image_B3HW)
        scales, choices = [], []
        for scale in range(SCALES):
            if scale:
                x_BChw = self.halve(x_BChw)
            if self.banks:
                bank = self.banks[min(scale, len(self.banks) - 1)]
                x_BChw, choice = bank(x_BChw)
                choices.append(choice)
            scales.append(self.widen(x_BChw))
        return scales, choices


@dataclass(frozen=True, config=STRICT)
class Choice:
    """Which experts were chosen for each image at one scale, and where each said something."""

    weight_BE: Tensor
    """0 where one was not chosen; the others add up to 1."""
    strength_BEhw: Tensor
    """Mean absolute output of each, weighed."""


class Bank(nn.Module):
    """Experts behind a router, beside a shortcut."""

    def __init__(self, config: ExpertConfig, norm: Norm) -> None:
        super().__init__()
        self._config = config
        self.router = nn.Linear(config.width, len(config.kernels))
        self.experts = nn.ModuleList(Expert(config.width, k, norm) for k in config.kernels)

    def forward(self, x_BChw: Tensor) -> tuple[Tensor, Choice]:
        """Same shape, and who was chosen."""
        weight_BE = self.weigh(x_BChw)
        if self._config.compute == "all":
            chosen_BE = torch.ones(weight_BE.shape, dtype=torch.bool)
        else:
            chosen_BE = (weight_BE > 0).cpu()  # of all experts at once: a GPU is waited for
        out_BChw = x_BChw
        strengths = []
        each = zip(self.experts, weight_BE.unbind(1), chosen_BE.unbind(1), strict=True)
        for expert, weight_B, chosen_B in each:
            samples_b = moved(chosen_B.nonzero()[:, 0], weight_B.device)
            strength_Bhw = torch.zeros_like(x_BChw[:, 0])
            if len(samples_b):
                said_bChw = weight_B[samples_b, None, None, None] * expert(x_BChw[samples_b])
                said_bChw = said_bChw.to(out_BChw.dtype)
                out_BChw = out_BChw.index_add(0, samples_b, said_bChw)
                strength_Bhw[samples_b] = said_bChw.detach().abs().mean(1)
            elif self.training:
                # A gradient of zero, not none: workers add up those of all parameters.
                out_BChw = out_BChw + 0 * nn.utils.parameters_to_vector(expert.parameters()).sum()
            strengths.append(strength_Bhw)
        return out_BChw, Choice(weight_BE, torch.stack(strengths, dim=1))

    def weigh(self, x_BChw: Tensor) -> Tensor:
        """The weight of each expert for each image, (B, E): 0 but for the `top` likeliest."""
        share_BE = self.router(x_BChw.mean((2, 3))).float().softmax(1)
        best_BT, who_BT = share_BE.topk(self._config.top, dim=1)
        if self._config.router == "twice":
            best_BT = best_BT.softmax(1)
        best_BT = best_BT / best_BT.sum(1, keepdim=True)
        return torch.zeros_like(share_BE).scatter(1, who_BT, best_BT)


class Expert(nn.Module):
    """Four pieces of the channels through one wavelet convolution, one after the other."""

    def __init__(self, width: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        piece = width // PIECES
        self.see = nn.Sequential(WaveletConv(piece, kernel), norm_of(piece, norm), nn.ReLU())
        self.mix = nn.Sequential(nn.Conv2d(width, width, 1), norm_of(width, norm), nn.ReLU())

    def forward(self, x_BChw: Tensor) -> Tensor:
        """Same shape."""
        seen_BChw = torch.cat(cascade(x_BChw.chunk(PIECES, dim=1), self.see), dim=1)
        out: Tensor = self.mix(seen_BChw + x_BChw)
        return out


def cascade(pieces: Sequence[Tensor], see: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Pieces through one function, each with what came of the one before put to it: the last has
    been seen as many times over as there are pieces."""
    seen: list[Tensor] = []
    for piece in pieces:
        seen.append(see(piece + seen[-1] if seen else piece))
    return seen


def expert_maps(choices: list[Choice]) -> dict[str, Tensor]:
    """Pictures of what was chosen, each (B, 1, h, w) in [0, 1].

    `experts` has a row of squares for each scale, finest first, and a column for each expert, the
    smallest kernel first: as bright as the expert's weight. `kernels` says where: of each point at
    the finest scale, which of the chosen experts said most, from dark for the smallest kernel to
    bright for the largest.
    """
    weight_BSE = torch.stack([choice.weight_BE for choice in choices], dim=1)
    squares_B1hw = F.interpolate(weight_BSE[:, None], scale_factor=8, mode="nearest")
    strength_BEhw = choices[0].strength_BEhw
    loudest_B1hw = strength_BEhw.argmax(1, keepdim=True).float()
    return {
        "experts": squares_B1hw.float(),
        "kernels": loudest_B1hw / max(1, strength_BEhw.shape[1] - 1),
    }
