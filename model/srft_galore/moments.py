"""What becomes of Adam's moments when the basis changes: GaLore keeps them as they are.

Shapes: S x R bases, moments of the projected gradient as in `projection`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .projection import Projection


def change_basis(
    state: Mapping[str, Tensor], basis_SR: Tensor, projection: Projection, group: Mapping[str, Any]
) -> None:
    """Put a new basis into the state of a parameter, with its moments as the group says.

    - "keep": as they are, though their coordinates change their meaning. GaLore's way. Singular
      vectors, whose signs a decomposition leaves open, get those that point where the old ones did,
      unless the group's "signs" are "free".
    - "rotate": the new basis is turned within its span as near to the old one as it gets
      (orthogonal Procrustes), then the moments are carried over with C = P_new^T P_old.
    - "reset": to zero; bias correction starts anew (`adam_step_count`).

    Args:
        state: Of the parameter, changed in place.
        basis_SR: The new basis, orthonormal.
        projection: Of the parameter.
        group: Its "moments", "betas", "projector" and "signs".
    """
    had_one = int(state["refreshes"]) > 0
    if had_one and group["moments"] == "keep":
        if group["projector"] == "svd" and group["signs"] == "aligned":
            basis_SR = _signed(basis_SR, state["basis"])
    elif had_one and group["moments"] == "rotate":
        basis_SR = _aligned(basis_SR, state["basis"])
        change_RR = basis_SR.mT @ state["basis"]
        rotate(state, change_RR, right=projection.right, betas=group["betas"])
    elif had_one and group["moments"] == "reset":
        state["exp_avg"].zero_()
        state["exp_avg_sq"].zero_()
    state["basis"].copy_(basis_SR)
    state["refreshes"] += 1
    state["refreshed_at"].copy_(state["step"])


def rotate(
    state: Mapping[str, Tensor],
    change_RR: Tensor,
    *,
    right: bool,
    betas: tuple[float, float],
) -> None:
    """Moments in new coordinates: LDAdam's rule (Robert et al., arXiv 2410.16103, section 3).

    The first moment m turns with the basis, as a mean does: C m. The second is a mean of squares;
    taking coordinates as uncorrelated, the variance v - m^2 turns with the squares of C, and

        v <- |(C o C) (v - m^2) + (C m)^2|

    on bias-corrected m and v, which are put back as they were corrected.

    Args:
        state: With "step", "exp_avg" and "exp_avg_sq", changed in place.
        change_RR: C = P_new^T P_old.
        right: Whether the basis is on the right, so that C acts on the moments' last dimension.
        betas: Adam's.
    """
    step = int(state["step"])
    if step == 0:
        return
    corrections = [1 - beta**step for beta in betas]
    mean = state["exp_avg"] / corrections[0]
    variance = state["exp_avg_sq"] / corrections[1] - mean * mean
    turned_mean = mean @ change_RR.mT if right else change_RR @ mean
    squares_RR = change_RR * change_RR
    turned = variance @ squares_RR.mT if right else squares_RR @ variance
    state["exp_avg"].copy_(turned_mean * corrections[0])
    state["exp_avg_sq"].copy_((turned + turned_mean * turned_mean).abs() * corrections[1])


def adam_step_count(state: Mapping[str, Tensor], group: Mapping[str, Any]) -> int:
    """Updates that the moments have seen: Adam's t, before the coming one."""
    step = int(state["step"])
    if group.get("moments") == "reset" and "refreshed_at" in state:
        return step - max(int(state["refreshed_at"]), 0)
    return step


def _signed(new_SR: Tensor, old_SR: Tensor) -> Tensor:
    """The new basis with each vector turned round that points away from the old one in its
    place."""
    along_R = (new_SR * old_SR).sum(-2, keepdim=True)
    return torch.where(along_R < 0, -new_SR, new_SR)


def _aligned(new_SR: Tensor, old_SR: Tensor) -> Tensor:
    """The orthonormal basis of the new span that is nearest to the old basis, S x R."""
    U_RR, _, Vh_RR = torch.linalg.svd(new_SR.mT @ old_SR)
    turned: Tensor = new_SR @ (U_RR @ Vh_RR)
    return turned
