"""How unsure the coarse field is of a point, by dropout before its head, and which points the fine
field looks at (I-MedSAM, section 3.4).

Shape suffixes: P points, W hidden features, O outputs of a head: the logit first.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.data.prompts import seed_of
from segcore.registry import STRICT

Estimator = Literal["closed_form", "sampled", "as_coded"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SamplingConfig:
    """Uncertainty-guided sampling."""

    ratio: Annotated[float, Field(ge=0, le=1)] = 0.125
    """Share of an image's points that the fine field looks at; 0: none, and there is no fine field.
    What the paper means by "without" is not stated: 0 or 1."""
    estimator: Estimator = "closed_form"
    """`closed_form`: the variance that dropout on the last hidden layer gives the probability, to
    first order; nothing is drawn. `sampled`: the variance over `passes` draws of it. `as_coded`:
    dropout on the head's outputs, in training on the logits themselves too; the mean variance of
    all outputs, which is large where outputs are, not where they are unsure."""
    passes: Annotated[int, Field(ge=2)] = 8
    """Draws; the code has 2, the paper does not say."""
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.5
    at_evaluation: bool = True
    """Whether points are chosen by it when nothing is trained. The code's dropout is off then: all
    points are equally sure, and an arbitrary band of them is refined."""

    def __post_init__(self) -> None:
        if self.estimator == "closed_form" and self.passes != 8:
            raise ValueError("passes has no effect with estimator='closed_form': leave it out")
        if self.estimator == "closed_form" and not self.at_evaluation:
            raise ValueError(
                "at_evaluation has no effect with estimator='closed_form', which draws nothing: "
                "leave it out"
            )


def estimate(
    hidden_PW: Tensor, head: nn.Linear, config: SamplingConfig, generator: torch.Generator
) -> Tensor:
    """How unsure each point is, (P,): the variance of its probability, at most a quarter.

    Args:
        hidden_PW: what the coarse field's head sees.
        head: whose first output is the logit.
        config: with which estimator.
        generator: of the draws.
    """
    weight_W, p = head.weight[0], config.dropout
    if config.estimator == "closed_form":
        logit_P = F.linear(hidden_PW, head.weight[:1], head.bias[:1])[:, 0]
        share_P = logit_P.sigmoid()
        logit_variance_P = (hidden_PW * weight_W).square().sum(1) * (p / (1 - p))
        return logit_variance_P * (share_P * (1 - share_P)).square()
    if config.estimator == "as_coded":
        drawn = [dropped(head(hidden_PW), p, generator) for _ in range(config.passes)]
        return torch.stack(drawn).var(0, unbiased=True).mean(1)
    mean_P = torch.zeros_like(hidden_PW[:, 0])
    squares_P = torch.zeros_like(mean_P)
    for _ in range(config.passes):
        hidden = dropped(hidden_PW, p, generator)
        share_P = F.linear(hidden, head.weight[:1], head.bias[:1])[:, 0].sigmoid()
        mean_P, squares_P = mean_P + share_P, squares_P + share_P.square()
    mean_P = mean_P / config.passes
    return (squares_P / config.passes - mean_P.square()).clamp(min=0)


def dropped(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Dropout that draws from a generator of its own."""
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= p
    return x * kept / (1 - p)


def generator_of(sample_id: str, step: int, device: torch.device) -> torch.Generator:
    """A generator of a sample's own: what is drawn does not depend on the rest of its batch.

    Args:
        sample_id: of the sample.
        step: of the training; 0 at evaluation.
        device: of what is drawn.
    """
    return torch.Generator(device).manual_seed(seed_of(f"{sample_id} {step}")[0])
