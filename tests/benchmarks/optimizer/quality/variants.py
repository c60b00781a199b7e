"""Variants of the optimizer that are measured and are not part of it."""

from typing import Any

import torch

from srft_galore import GaLoreAdamW


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
