"""Which side of a weight is projected, and the shapes and moves that follow from it.

Shapes: a weight is folded to B blocks of M x N (a block's share of the first dimension, all the
other dimensions), S is the projected side (M or N), T the other one, R the rank. The basis of a
block is S x R. A weight of one block has no leading B in any shape.
"""

import functools
import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

CACHED = 2**19
"""Elements of a weight that stay in a CPU's cache between two passes."""
_WIDE = 16
"""Rank from which the product takes longer than the passes over the weight, so that working piece
by piece saves nothing."""
SIDES = ("short", "left", "right", "input")
"""Names accepted as `side` of a parameter group."""


@dataclass(frozen=True)
class Projection:
    """How one weight's gradient G (M x N) is projected: P^T G on the left, G P on the right."""

    blocks: int
    """B."""
    rows: int
    """M, of one block."""
    cols: int
    """N."""
    rank: int
    """R, already clamped."""
    right: bool
    """Whether the basis spans rows of G (length N) instead of columns (length M)."""

    @property
    def _leading(self) -> tuple[int, ...]:
        return (self.blocks,) if self.blocks > 1 else ()

    @property
    def side(self) -> int:
        """S."""
        return self.cols if self.right else self.rows

    @property
    def other(self) -> int:
        """T."""
        return self.rows if self.right else self.cols

    @property
    def basis_shape(self) -> tuple[int, ...]:
        """Shape of P."""
        return (*self._leading, self.side, self.rank)

    @property
    def moment_shape(self) -> tuple[int, ...]:
        """Shape of the projected gradient and so of Adam's moments."""
        tail = (self.rows, self.rank) if self.right else (self.rank, self.cols)
        return (*self._leading, *tail)

    def fold(self, W: Tensor) -> Tensor:
        """A weight or its gradient as (M, N) or (B, M, N); a view where its layout allows one."""
        W_2 = W.flatten(1)
        return W_2.unflatten(0, (self.blocks, self.rows)) if self.blocks > 1 else W_2

    def facing(self, G_MN: Tensor) -> Tensor:
        """Folded G turned so that the projected side is its rows, as `range_finder` takes it."""
        return G_MN.mT if self.right else G_MN

    def project(self, G_MN: Tensor, P_SR: Tensor) -> Tensor:
        """Folded G in the basis' coordinates, of `moment_shape`."""
        return G_MN @ P_SR if self.right else P_SR.mT @ G_MN

    def add_back(
        self, W_MN: Tensor, update: Tensor, P_SR: Tensor, *, keep: float, factor: float
    ) -> None:
        """W <- keep * W + factor * (back-projected update), in place, read and written once.

        On a CPU a piece of W that fits the cache is first scaled, then added to: faster than one
        product that does both, by a third at rank 4 and a fifth at rank 32.
        """
        left, right = (update, P_SR.mT) if self.right else (P_SR, update)
        if W_MN.device.type != "cpu":
            add = W_MN.baddbmm_ if self.blocks > 1 else W_MN.addmm_
            add(left, right, beta=keep, alpha=factor)
            return
        rows = max(1, CACHED // self.cols) if self.rank < _WIDE else self.rows
        for W, part in zip(W_MN.split(rows, dim=-2), left.split(rows, dim=-2), strict=True):
            add = W.baddbmm_ if self.blocks > 1 else W.addmm_
            W.mul_(keep)
            add(part, right, alpha=factor)


def can_be_projected(shape: torch.Size) -> bool:
    """Whether a parameter of this shape, folded to (first, all others), has two dimensions of two
    or more."""
    return len(shape) >= 2 and min(shape[0], math.prod(shape[1:])) >= 2


@functools.cache
def plan_projection(
    shape: torch.Size, *, rank: int, side: str, projector: str, blocks: int
) -> Projection | None:
    """The projection of a parameter of this shape, or None where there is nothing to project.

    "short" projects the shorter side of a block, as GaLore's 'std' does (arXiv 2403.03507): the
    right one where M >= N. "left" and "right" always project M or N. "input" is the side that
    faces the layer's input: the right one of torch's (out, in) weights. The rank is clamped to
    min(M, N), where the projection only rotates; "identity" takes the whole side.

    Args:
        shape: Of the parameter; more than two dimensions are folded to (first, all others).
        rank: Asked for.
        side: One of `SIDES`.
        projector: One of `range_finder.PROJECTORS`.
        blocks: Into how many equal blocks of rows the folded weight falls.

    Returns:
        None for scalars, vectors, and weights with a folded dimension below two.

    Raises:
        ValueError: The first dimension does not fall into `blocks`.
    """
    if not can_be_projected(shape):
        return None
    if shape[0] % blocks or shape[0] == blocks:
        raise ValueError(
            f"blocks={blocks} does not divide the {shape[0]} rows of a weight of shape "
            f"{tuple(shape)} into blocks of two or more; put it into a group of its own."
        )
    rows, cols = shape[0] // blocks, math.prod(shape[1:])
    right = rows >= cols if side == "short" else side in ("right", "input")
    kept = (cols if right else rows) if projector == "identity" else min(rank, rows, cols)
    return Projection(blocks, rows, cols, kept, right)


def derive_seed(*parts: int) -> int:
    """A seed that is the same on every rank, run and machine.

    Of a refresh the parts are the group's seed and how often the parameter's basis was computed
    before: weights of one shape that are refreshed together share their random matrix, which is
    drawn once, unless the group's "sketch" asks for one each.
    """
    digest = hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
