"""The arithmetic of a step: AdamW on projected and on plain gradients.

Shapes: a weight W and its gradient G are folded to M x N, P is the basis S x R of the projected
side S, m and v are Adam's moments of the projected gradient.

A step of a projected weight, for a right basis (P^T G and P N for a left one):

    R = G P;  m, v <- Adam's averages of R and R * R
    N = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    W <- (1 - lr weight_decay) W - lr scale N P^T
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from srft_galore.entries import Entry
from srft_galore.groups.checks import check_rate
from srft_galore.state import moment_dtype

from .residual import SIGN_SHARE, add_signs
from .rounding import round_stochastically

_FUSED = ("cpu", "cuda")
"""Devices on which torch has AdamW as one kernel."""


def update(ready: Sequence[tuple[Entry, Tensor]]) -> None:
    """One AdamW step of every parameter, from its projected or its plain gradient.

    Both take torch's own AdamW kernel. It moves a plain weight itself. For a projected weight it
    moves a tensor of zeros in the subspace instead, at rate 1 and without decay, which leaves minus
    the update there; one product then brings it back to the weight, where rate and decay apply.

    Plain weights that are stored in less than the arithmetic's precision are moved one at a time,
    so that the copies of no more than one are there at once.

    Args:
        ready: Each parameter with its gradient, finite, of the shape of its moments.

    Raises:
        ValueError: A learning rate is no finite number; nothing was moved.
    """
    batches: dict[object, list[tuple[Entry, Tensor]]] = defaultdict(list)
    groups = {id(entry.group): entry.group for entry, _ in ready}
    rates = {number: float(group["lr"]) for number, group in groups.items()}
    for lr in rates.values():
        check_rate(lr)
    for entry, gradient in ready:
        copied = gradient.dtype != moment_dtype(gradient)
        kind = (id(entry.group), gradient.device, gradient.dtype, entry.projection is None)
        batches[*kind, entry.position if copied else None].append((entry, gradient))
    for batch in batches.values():
        entries = [entry for entry, _ in batch]
        gradients = [g.to(moment_dtype(g)).contiguous() for _, g in batch]
        group = entries[0].group
        lr = rates[id(group)]
        if entries[0].projection is None:
            weights = [e.parameter.to(moment_dtype(e.parameter)).contiguous() for e in entries]
            _adamw(entries, weights, gradients, lr=lr, weight_decay=group["weight_decay"])
            for entry, weight in zip(entries, weights, strict=True):
                _write(entry, weight)
        else:
            moved = [torch.zeros_like(gradient) for gradient in gradients]
            _adamw(entries, moved, gradients, lr=1.0, weight_decay=0.0)
            for entry, gradient, change in zip(entries, gradients, moved, strict=True):
                _add_back(entry, gradient, change, lr)
        for entry in entries:
            entry.state["step"] += 1
            entry.counts.stepped(entry.state["step"])


def _adamw(
    entries: Sequence[Entry],
    moved: list[Tensor],
    gradients: list[Tensor],
    *,
    lr: float,
    weight_decay: float,
) -> None:
    group, device = entries[0].group, moved[0].device
    counts = [float(entry.adam_step) for entry in entries]
    adamw(
        moved,
        gradients,
        [entry.state["exp_avg"] for entry in entries],
        [entry.state["exp_avg_sq"] for entry in entries],
        [],
        list(torch.tensor(counts, device=device).unbind()),
        fused=True if device.type in _FUSED else None,
        amsgrad=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=lr,
        weight_decay=weight_decay,
        eps=group["eps"],
        maximize=False,
    )


def _add_back(entry: Entry, gradient: Tensor, change: Tensor, lr: float) -> None:
    projection, group, basis = entry.projection, entry.group, entry.state["basis"]
    assert projection is not None
    weight = entry.parameter.to(moment_dtype(entry.parameter))
    folded = projection.fold(weight)
    keep, factor = 1 - lr * group["weight_decay"], lr * group["scale"]
    projection.add_back(folded, change, basis, keep=keep, factor=factor)
    if group["residual"] == "sign":
        whole, size = entry.gradient(), -SIGN_SHARE * factor
        add_signs(folded, whole, gradient, basis, size, right=projection.right)
    _write(entry, folded)


def _write(entry: Entry, weight: Tensor) -> None:
    parameter, group = entry.parameter, entry.group
    # A cast (bfloat16) or a fold of a channels-last weight made a copy; else it is written already.
    if weight.data_ptr() == parameter.data_ptr():
        return
    if group["rounding"] == "stochastic" and parameter.dtype == torch.bfloat16:
        step = entry.step
        weight = round_stochastically(
            weight, seed=group.get("seed", 0), position=entry.position, step=step
        )
    parameter.copy_(weight.view(parameter.shape))
