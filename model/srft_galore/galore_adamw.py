"""AdamW on projected gradients: GaLore (arXiv 2403.03507) with an exchangeable projector.

Shapes: a weight W and its gradient G are folded to M x N, P is the basis S x R of the projected
side S, m and v are Adam's moments of the projected gradient.

A step of a projected weight, for a right basis (P^T G and P N for a left one):

    R = G P;  m, v <- Adam's averages of R and R * R
    N = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    W <- (1 - lr weight_decay) W - lr scale N P^T
"""

import math
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from .entries import Entry, magnitudes, with_gradients
from .groups import check_loadable, complete_group, moment_dtype, new_state, plan
from .projection import derive_seed
from .range_finder import range_finder


class GaLoreAdamW(Optimizer):
    """AdamW that projects the gradients of every parameter group with a "rank".

    A group without "rank" is plain AdamW, as `torch.optim.AdamW` computes it. A group with "rank"
    takes these keys (GaLore's own words):

    - "rank": columns of the basis, clamped to the smaller dimension, where the projection only
      rotates.
    - "update_proj_gap": steps between refreshes of the basis (200). The bases are due at steps 0,
      gap, 2 gap, ...; moments are kept across a refresh, as in GaLore.
    - "scale": factor of the update (1.0).
    - "projector": "srft", "svd", "gaussian" or "identity" ("srft"); see `range_finder`.
    - "side": "short", "left" or "right" ("short", which is the right one where M >= N).
    - "oversample", "power_iterations", "seed": of `range_finder` (0, 0, 0). Each refresh of each
      parameter has a seed of its own, derived from the group's seed, the parameter's position in
      the optimizer and the number of refreshes before: equal on all ranks, and untouched by
      torch's global random state.

    Weights with more than two dimensions are folded to (first, all others). Scalars, vectors and
    weights with a folded dimension of one take plain AdamW in a projected group too.

    A parameter whose gradient holds NaN or Inf skips the step, refresh and decay included, and
    counts it in state["skipped"]. A gradient of zeros says nothing of its range: the basis then
    stays (zeros before the first refresh, hence no update) and remains due.

    State and arithmetic are float32 (float64 for float64 parameters), also for bfloat16 ones,
    whose weights are rounded to nearest once per step. All state is plain tensors. Bytes:

        projected: b (S R + 2 R T) + 32     plain: 2 b M N + 16

    with b = 4 (8 for float64), T the other side than S, and 8 per counter.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate, a number or a tensor of one; read again at every step. A tensor on the
            GPU costs a synchronisation per parameter group and step.
        betas: Decay rates of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled (arXiv 1711.05101), applied before the update as torch does.

    Raises:
        ValueError: A group has an unknown key or a value that is not allowed.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group after checking it and filling in its defaults.

        Raises:
            ValueError: A key is unknown or has no effect, or a value is not allowed.
        """
        super().add_param_group(complete_group(param_group, self.defaults))

    def refresh(self) -> None:
        """Compute the bases that are due at the coming step, from the gradients of now.

        `step` does this itself; a training loop calls it before to time it apart. A second call
        changes nothing.

        Raises:
            ValueError: A gradient is sparse or complex, or a group was edited into something that
                does not fit its state.
        """
        with torch.no_grad():
            due = [entry for entry in self._entries() if self._is_due(entry)]
            for entry, magnitude in zip(due, magnitudes(due), strict=True):
                if math.isfinite(magnitude):
                    self._refresh(entry, magnitude)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Refresh the bases that are due and update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            The closure's loss, or None without one.

        Raises:
            ValueError: As `refresh`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            entries = self._entries()
            for entry, magnitude in zip(entries, magnitudes(entries), strict=True):
                if not math.isfinite(magnitude):
                    self.state[entry.parameter]["skipped"] += 1
                    continue
                if self._is_due(entry):
                    self._refresh(entry, magnitude)
                _update(entry, self.state[entry.parameter])
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state and the options of its groups, lr included.

        The tensors are copied: nothing is shared with `state_dict`. They keep this optimizer's
        dtypes and devices, so that the basis of a bfloat16 weight stays float32.

        Raises:
            ValueError: The state was saved with another rank, side or projector, or for other
                shapes; nothing was changed.
        """
        check_loadable(self.param_groups, state_dict)
        super().load_state_dict(state_dict)
        # torch has now cast the tensors to the dtypes of the parameters, or shares them.
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for parameter, index in zip(group["params"], saved["params"], strict=True):
                if index in state_dict["state"]:
                    own = new_state(parameter, plan(parameter, group))
                    for key, tensor in own.items():
                        tensor.copy_(state_dict["state"][index][key])
                    self.state[parameter] = own

    def state_bytes(self) -> int:
        """Bytes of storage that the state's tensors hold now, on all devices together."""
        tensors = (tensor for state in self.state.values() for tensor in state.values())
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    def _entries(self) -> list[Entry]:
        """Every parameter with a gradient, checked, with a state."""
        entries = list(with_gradients(self.param_groups))
        for entry in entries:
            state = self.state[entry.parameter]
            if not state:
                state.update(new_state(entry.parameter, entry.projection))
            held = tuple(state["basis"].shape) if "basis" in state else None
            asked = entry.projection and entry.projection.basis_shape
            if held != asked:
                raise ValueError(
                    f"The basis of parameter {entry.position} has shape {held}, its group now "
                    f"asks for {asked}: rank and side cannot change after the first step, nor "
                    f"can a projector become the identity. Build a new optimizer."
                )
        return entries

    def _is_due(self, entry: Entry) -> bool:
        if entry.projection is None:
            return False
        state, gap = self.state[entry.parameter], entry.group["update_proj_gap"]
        # Whole intervals: a refresh put off does not move the later ones. Never: -1 // gap = -1.
        due: bool = int(state["step"]) // gap > int(state["refreshed_at"]) // gap
        return due

    def _refresh(self, entry: Entry, magnitude: float) -> None:
        assert entry.projection is not None
        if magnitude == 0:
            return
        state, group = self.state[entry.parameter], entry.group
        basis = range_finder(
            entry.projection.facing(entry.gradient.flatten(1)),
            group["rank"],
            projector=group["projector"],
            oversample=group["oversample"],
            power_iterations=group["power_iterations"],
            seed=derive_seed(group["seed"], entry.position, int(state["refreshes"])),
        )
        state["basis"].copy_(basis)
        state["refreshes"] += 1
        state["refreshed_at"].copy_(state["step"])


def _update(entry: Entry, state: dict[str, Tensor]) -> None:
    """One AdamW step of one parameter, projected or plain."""
    parameter, group, projection = entry.parameter, entry.group, entry.projection
    gradient = entry.gradient.to(moment_dtype(parameter))
    weight = parameter.to(moment_dtype(parameter))
    if projection is not None:
        weight = weight.flatten(1)
        gradient = projection.project(gradient.flatten(1), state["basis"])

    beta1, beta2 = group["betas"]
    state["step"] += 1
    step = int(state["step"])
    exp_avg = state["exp_avg"].lerp_(gradient, 1 - beta1)
    exp_avg_sq = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    denominator = (exp_avg_sq.sqrt() / (1 - beta2**step) ** 0.5).add_(group["eps"])

    keep, step_size = 1 - entry.lr * group["weight_decay"], entry.lr / (1 - beta1**step)
    if projection is None:
        weight.mul_(keep).addcdiv_(exp_avg, denominator, value=-step_size)
    else:
        update = exp_avg / denominator
        factor = -step_size * group["scale"]
        projection.add_back(weight, update, state["basis"], keep=keep, factor=factor)
    # A cast (bfloat16) or a fold of a channels-last weight made a copy; else W is updated already.
    if weight.data_ptr() != parameter.data_ptr():
        parameter.copy_(weight.view(parameter.shape))
