"""What becomes of Adam's moments when the basis changes: GaLore keeps them as they are.

Shapes: S x R bases, moments of the projected gradient as in `projection`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from srft_galore.basis.gram import nearest_rotation
from srft_galore.batches import copy_all, stack, unstack
from srft_galore.entries import Entry


def change_basis(batch: Sequence[Entry], bases_SR: Tensor) -> None:
    """Put new bases into the states of parameters, with their moments as their group says.

    - "keep": as they are, though their coordinates change their meaning. GaLore's way. Singular
      vectors, whose signs a decomposition leaves open, get those that point where the old ones did,
      unless the group's "signs" are "free".
    - "rotate": the new basis is turned within its span as near to the old one as it gets
      (orthogonal Procrustes), then the moments are carried over with C = P_new^T P_old.
    - "reset": to zero; bias correction starts anew (`Entry.adam_step`).

    Args:
        batch: Parameters of one group and projection that made as many steps, also since their
            moments began, and all of which had a basis, or none. Their states are changed in place.
        bases_SR: The new bases, orthonormal, in one stack (`batches.stack`).
    """
    group, projection, step = batch[0].group, batch[0].projection, batch[0].step
    assert projection is not None
    if batch[0].has_basis and group["moments"] == "keep":
        if group["projector"] == "svd" and group["signs"] == "aligned":
            bases_SR = _signed(bases_SR, _stacked(batch, "basis"))
    elif batch[0].has_basis and group["moments"] == "rotate":
        old_SR = _stacked(batch, "basis")
        bases_SR = _aligned(bases_SR, old_SR)
        if batch[0].adam_step > 0:
            mean, squares = rotated(
                _stacked(batch, "exp_avg"),
                _stacked(batch, "exp_avg_sq"),
                bases_SR.mT @ old_SR,
                right=projection.right,
                corrections=[1 - beta ** batch[0].adam_step for beta in group["betas"]],
            )
            _write(batch, "exp_avg", mean)
            _write(batch, "exp_avg_sq", squares)
    elif group["moments"] == "reset":
        for entry in batch:
            entry.state["exp_avg"].zero_()
            entry.state["exp_avg_sq"].zero_()
            entry.state["restarted_at"].fill_(step)
    _write(batch, "basis", bases_SR)
    for entry in batch:
        entry.state["refreshes"] += 1
        entry.state["refreshed_at"].fill_(step)


def rotated(
    mean: Tensor, squares: Tensor, change_RR: Tensor, *, right: bool, corrections: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Moments in new coordinates: LDAdam's rule (Robert et al., arXiv 2410.16103, section 3).

    The first moment m turns with the basis, as a mean does: C m. The second is a mean of squares;
    taking coordinates as uncorrelated, the variance v - m^2 turns with the squares of C, and

        v <- |(C o C) (v - m^2) + (C m)^2|

    on bias-corrected m and v, which are put back as they were corrected.

    Args:
        mean: m, as the state holds it.
        squares: v, likewise.
        change_RR: C = P_new^T P_old.
        right: Whether the basis is on the right, so that C acts on the moments' last dimension.
        corrections: 1 - beta^t of both.
    """
    mean = mean / corrections[0]
    variance = squares / corrections[1] - mean * mean
    turned_mean = mean @ change_RR.mT if right else change_RR @ mean
    squares_RR = change_RR * change_RR
    turned = variance @ squares_RR.mT if right else squares_RR @ variance
    return (
        turned_mean * corrections[0],
        (turned + turned_mean * turned_mean).abs() * corrections[1],
    )


def _stacked(batch: Sequence[Entry], key: str) -> Tensor:
    return stack([entry.state[key] for entry in batch])


def _write(batch: Sequence[Entry], key: str, stacked: Tensor) -> None:
    copy_all([entry.state[key] for entry in batch], unstack(stacked, len(batch)))


def _signed(new_SR: Tensor, old_SR: Tensor) -> Tensor:
    """The new basis with each vector turned round that points away from the old one in its
    place."""
    along_R = (new_SR * old_SR).sum(-2, keepdim=True)
    return torch.where(along_R < 0, -new_SR, new_SR)


def _aligned(new_SR: Tensor, old_SR: Tensor) -> Tensor:
    """The orthonormal basis of the new span that is nearest to the old basis, S x R."""
    overlap_RR = new_SR.mT @ old_SR
    if overlap_RR.device.type != "cpu":  # where an SVD is a loop over the batch
        return new_SR @ nearest_rotation(overlap_RR)
    U_RR, _, Vh_RR = torch.linalg.svd(overlap_RR)
    turned: Tensor = new_SR @ (U_RR @ Vh_RR)
    return turned
