"""Which side of a weight is projected, and the shapes and moves that follow from it.

Shapes: a weight is folded to M x N (first dimension, all the others), S is the projected side (M
or N), R the rank, and the basis is S x R.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

SIDES = ("short", "left", "right")
"""Names accepted as `side` of a parameter group."""


@dataclass(frozen=True)
class Projection:
    """How one weight's gradient G (M x N) is projected: P^T G on the left, G P on the right."""

    rows: int
    """M."""
    cols: int
    """N."""
    rank: int
    """R, already clamped."""
    right: bool
    """Whether the basis spans rows of G (length N) instead of columns (length M)."""

    @property
    def basis_shape(self) -> tuple[int, int]:
        """Shape of P."""
        return (self.cols if self.right else self.rows, self.rank)

    @property
    def moment_shape(self) -> tuple[int, int]:
        """Shape of the projected gradient and so of Adam's moments."""
        return (self.rows, self.rank) if self.right else (self.rank, self.cols)

    def facing(self, G_MN: Tensor) -> Tensor:
        """G turned so that the projected side is its rows, as `range_finder` takes it."""
        return G_MN.mT if self.right else G_MN

    def project(self, G_MN: Tensor, P_SR: Tensor) -> Tensor:
        """The gradient in the basis' coordinates, of `moment_shape`."""
        return G_MN @ P_SR if self.right else P_SR.mT @ G_MN

    def add_back(
        self, W_MN: Tensor, update: Tensor, P_SR: Tensor, *, keep: float, factor: float
    ) -> None:
        """W <- keep * W + factor * (back-projected update), in place and in one product."""
        if self.right:
            W_MN.addmm_(update, P_SR.mT, beta=keep, alpha=factor)
        else:
            W_MN.addmm_(P_SR, update, beta=keep, alpha=factor)


def plan_projection(
    shape: Sequence[int], *, rank: int, side: str, projector: str
) -> Projection | None:
    """The projection of a parameter of this shape, or None where there is nothing to project.

    "short" projects the shorter side, as GaLore's 'std' does (arXiv 2403.03507): the right one
    where M >= N. "left" and "right" always project M or N. The rank is clamped to min(M, N),
    where the projection only rotates; "identity" takes the whole side.

    Args:
        shape: Of the parameter; more than two dimensions are folded to (first, all others).
        rank: Asked for.
        side: One of `SIDES`.
        projector: One of `range_finder.PROJECTORS`.

    Returns:
        None for scalars, vectors, and weights with a folded dimension below two.
    """
    if len(shape) < 2 or min(shape[0], math.prod(shape[1:])) < 2:
        return None
    rows, cols = shape[0], math.prod(shape[1:])
    right = rows >= cols if side == "short" else side == "right"
    if projector == "identity":
        return Projection(rows, cols, cols if right else rows, right)
    return Projection(rows, cols, min(rank, rows, cols), right)


def derive_seed(seed: int, index: int, refreshes: int) -> int:
    """Seed of one refresh of one parameter: the same on every rank, run and machine.

    Args:
        seed: Of the parameter group.
        index: Position of the parameter in the optimizer, over all groups.
        refreshes: How often the parameter's basis was computed before.
    """
    digest = hashlib.blake2b(f"{seed}:{index}:{refreshes}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
