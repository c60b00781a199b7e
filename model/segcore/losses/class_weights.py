"""Weights of classes by name, as a loss counts pixels by them.

Shape suffixes: B batch, K classes, H W size.
"""

import math
from abc import ABC

import torch
from torch import Tensor

from segcore.classes import ClassSpec
from segcore.losses.loss import Loss


class ClassWeighted(Loss, ABC):
    """A loss that counts pixels by class."""

    class_weights: tuple[str, ...]
    """`name=weight` each; 1 where a class is not named."""

    def check(self, classes: ClassSpec) -> None:
        """See that the classes have the names that `class_weights` has.

        Raises:
            ValueError: they have not.
        """
        weights_of(self.class_weights, classes)


def check_weights(texts: tuple[str, ...], term: float, field: str) -> None:
    """Refuse texts that are no weights, and weights that nothing looks at.

    Args:
        texts: `name=weight` each.
        term: weight of the term in which they count.
        field: its name.

    Raises:
        ValueError: names every text that cannot be read.
    """
    wrong = [text for text in texts if not _readable(text)]
    names = [text.partition("=")[0] for text in texts]
    wrong += [f"{name}, twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if wrong:
        raise ValueError(
            f"class_weights: cannot use {', '.join(wrong)}: write 'name=weight', a number from 0 "
            "on, each class once"
        )
    if texts and term == 0:
        raise ValueError(f"class_weights have no effect with {field}=0: leave them out")


def weights_of(texts: tuple[str, ...], classes: ClassSpec) -> Tensor | None:
    """A weight for each class, (K,), 1 where none is named; None: nothing is weighed.

    Raises:
        ValueError: a name is no class, or the weights change nothing.
    """
    if not texts:
        return None
    named = {name: float(value) for name, _, value in (text.partition("=") for text in texts)}
    if unknown := [name for name in named if name not in classes.names]:
        raise ValueError(
            f"system.loss.class_weights: no class {', '.join(unknown)}: choose of "
            f"{', '.join(classes.names)}"
        )
    weights = [named.get(name, 1.0) for name in classes.names]
    if not any(weights):
        raise ValueError("system.loss.class_weights are all 0: give a class a weight")
    if len(set(weights)) == 1:
        raise ValueError(
            "system.loss.class_weights have no effect where all classes have the same: leave them "
            "out"
        )
    return torch.tensor(weights)


def weighted_mean(each_BKHW: Tensor, target_BKHW: Tensor, weights_K: Tensor) -> Tensor:
    """Of values that only a pixel's own class has: of each image the mean over pixels that count by
    their class's weight, then over images.

    torch's own weighted mean divides by the weights of a whole batch, so that an image would count
    by what else is in it.
    """
    weight_BHW = torch.einsum("bkhw,k->bhw", target_BKHW, weights_K)
    summed_B = (each_BKHW.sum(1) * weight_BHW).sum((1, 2))
    # Of an image all of whose pixels weigh nothing: 0.
    return (summed_B / weight_BHW.sum((1, 2)).clamp(min=1e-6)).mean()


def weighted_over_classes(each_BKHW: Tensor, weights_K: Tensor) -> Tensor:
    """Of values that every class has at every pixel: the mean over classes, by their weights."""
    return (each_BKHW.mean((0, 2, 3)) * weights_K).sum() / weights_K.sum()


def _readable(text: str) -> bool:
    name, _, value = text.partition("=")
    try:
        weight = float(value)
    except ValueError:
        return False
    return bool(name) and math.isfinite(weight) and weight >= 0
