"""The implicit field: a point's coordinates and features in, its logits out, coarse and fine.

Shape suffixes: B batch, P points, F features of a point, K classes of the field.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.registry import STRICT

Norm = Literal["none", "layer", "batch"]
Widths = tuple[Annotated[int, Field(ge=1)], ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FieldConfig:
    """Widths and norms of the coarse and of the fine field."""

    coarse: Widths = (128, 64)
    """Of the hidden layers; the paper's and the code's are 1024 and 512."""
    handed_on: Annotated[int, Field(ge=0)] = 32
    """Features that a coarse point hands on to the fine field; the code's are 256."""
    fine: Widths = (32, 32, 16)
    """Of the hidden layers, the last of which each class has for itself; the paper's are 512, 256,
    256 and 128, the code's 256, 256 and 128."""
    norm: Norm = "layer"
    """After each hidden layer: `none` is the paper's, `batch` the code's. Over the points of one
    image at a time, so that a batch is its images; its running statistics are each worker's own.
    `layer` looks at one point alone."""

    def __post_init__(self) -> None:
        if not self.coarse or not self.fine:
            raise ValueError("coarse and fine need a hidden layer each: give at least one width")

    def build(self, inputs: int, classes: int, *, fine: bool) -> "ImplicitField":
        """The field for points of `inputs` features, with the fine one or without."""
        return ImplicitField(self, inputs, classes, fine=fine)


class ImplicitField(nn.Module):
    """Two networks of points: the coarse one for all, the fine one for those that are chosen."""

    def __init__(self, config: FieldConfig, inputs: int, classes: int, *, fine: bool) -> None:
        super().__init__()
        self.coarse = hidden_layers(inputs, config.coarse, config.norm)
        self.coarse_heads = nn.ModuleList(
            nn.Linear(config.coarse[-1], 1 + (config.handed_on if fine else 0))
            for _ in range(classes)
        )
        if not fine:
            return
        *shared, last = config.fine
        self.fine = hidden_layers(inputs + config.handed_on, shared, config.norm)
        between = shared[-1] if shared else inputs + config.handed_on
        self.fine_heads = nn.ModuleList(
            nn.Sequential(*hidden_layers(between, [last], config.norm), nn.Linear(last, 1))
            for _ in range(classes)
        )

    def look(self, x_PF: Tensor) -> Tensor:
        """What the coarse field makes of the points of one image before its head, (P, W)."""
        out: Tensor = self.coarse(x_PF)
        return out

    def refine(self, x_PF: Tensor, handed_on_PF: Tensor, class_index: int) -> Tensor:
        """The fine logit of points of one image for a class, (P,).

        Args:
            x_PF: coordinates and features.
            handed_on_PF: what the coarse field's head handed on of them.
            class_index: counted without the background.
        """
        seen = self.fine(torch.cat([handed_on_PF, x_PF], dim=1))
        logit_P1: Tensor = self.fine_heads[class_index](seen)
        return logit_P1[:, 0]


def hidden_layers(inputs: int, widths: Sequence[int], norm: Norm) -> nn.Sequential:
    """Linear maps, each with its norm and a ReLU."""
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(nn.Linear(inputs, width))
        if norm != "none":
            layers.append(nn.LayerNorm(width) if norm == "layer" else nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        inputs = width
    return nn.Sequential(*layers)
