"""Variants of the optimizer that are measured and are not part of it."""

import importlib
from typing import Any

import torch
from torch import Tensor

from srft_galore import GaLoreAdamW
from srft_galore.refresh.schedule import is_due


class RandomBasis(GaLoreAdamW):
    """A basis that knows nothing of the gradient: what every projector has to beat."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._generator = torch.Generator().manual_seed(0)

    def step(self, closure: Any = None) -> Any:
        """Compute the bases that are due from noise, then update as ever."""
        kept = []
        for parameter in self.param_groups[0]["params"]:
            kept.append(parameter.grad)
            parameter.grad = torch.randn(parameter.shape, generator=self._generator)
        self.refresh()
        for parameter, gradient in zip(self.param_groups[0]["params"], kept, strict=True):
            parameter.grad = gradient
        return super().step(closure)


class OrthogonalMomentum(GaLoreAdamW):
    """Without a second moment: half of the moments' bytes.

    The direction is the first moment in the subspace with its singular values set to one, as in
    SUMO (arXiv 2505.24749) without its limiter, times 0.2 sqrt(T) (T: length of the side that is
    not projected), which gives it the size of Adam's (as for Muon in arXiv 2502.16982). Of weights
    with two dimensions in the first group.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move the projected weights, then the others as ever."""
        self.refresh()
        group = self.param_groups[0]
        for weight in group["params"]:
            state, right = self.state[weight], weight.shape[0] >= weight.shape[1]
            W_TS, G_TS = (weight, weight.grad) if right else (weight.T, weight.grad.T)
            m_TR = state["exp_avg"] if right else state["exp_avg"].T
            m_TR.lerp_(G_TS @ state["basis"], 1 - group["betas"][0])
            U_TR, _, Vh_RR = torch.linalg.svd(m_TR, full_matrices=False)
            size = 0.2 * len(W_TS) ** 0.5 * group["lr"] * group["scale"]
            W_TS.addmm_(U_TR @ Vh_RR, state["basis"].T, alpha=-size)
            state["step"] += 1
            weight.grad = None
        return super().step(closure)


class LazyRefresh(GaLoreAdamW):
    """A refresh that is due is left out while its basis still catches enough.

    Enough is nine tenths of the share of energy that it caught of the gradient it was made from. It
    is asked at every due step, of the gradient there; of weights with two dimensions in the first
    group.
    """

    ENOUGH = 0.9

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._caught_at_first: dict[Tensor, float] = {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Leave out what can be left out, refresh the rest, then update as ever."""
        group = self.param_groups[0]
        gap, weights = group["update_proj_gap"], group["params"]
        for weight, at_first in self._caught_at_first.items():
            step, refreshed_at = (self.state[weight][key] for key in ("step", "refreshed_at"))
            due = is_due(int(step), int(refreshed_at), gap=gap)
            if due and self._caught(weight) >= self.ENOUGH * at_first:
                refreshed_at.copy_(step)
        made = [self.state[weight].get("refreshes", torch.tensor(0)).clone() for weight in weights]
        self.refresh()
        for weight, earlier in zip(weights, made, strict=True):
            if self.state[weight]["refreshes"] > earlier:
                self._caught_at_first[weight] = self._caught(weight)
        return super().step(closure)

    def _caught(self, weight: Tensor) -> float:
        assert weight.grad is not None
        G_TS = weight.grad if weight.shape[0] >= weight.shape[1] else weight.grad.T
        R_TR = G_TS @ self.state[weight]["basis"]
        return float(R_TR.square().sum() / G_TS.square().sum())


class EightBitMoments(GaLoreAdamW):
    """Moments that are rounded to eight bits after each step.

    By bitsandbytes' blockwise quantisation (arXiv 2110.02861): its codes, blocks of 256. The states
    stay what they are, so this tells what the rounding does to a training, and nothing of bytes or
    time. Of weights in the first group.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._functional = importlib.import_module("bitsandbytes.functional")
        make = self._functional.create_dynamic_map
        self._codes = {"exp_avg": make(signed=True), "exp_avg_sq": make(signed=False)}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update as ever, then round."""
        loss = super().step(closure)
        for weight in self.param_groups[0]["params"]:
            for key, code in self._codes.items():
                moment = self.state[weight][key]
                rounded = self._functional.quantize_blockwise(
                    moment.contiguous(), code=code, blocksize=256
                )
                moment.copy_(self._functional.dequantize_blockwise(*rounded))
        return loss
