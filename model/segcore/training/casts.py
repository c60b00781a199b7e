"""Fewer casts on a GPU that computes in bfloat16: what autocast would cast again and again."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.systems.system import System
from segcore.training.runtime import Precision


def spare_casts(network: nn.Module, device: torch.device, precision: Precision) -> None:
    """Hold frozen weights in bfloat16, and let norms answer in the dtype that they are asked in.

    Nothing is done on a CPU, or in float32.

    Args:
        network: a system that a method has adapted, or several; changed in place. The names of its
            tensors stay as they are.
        device: where it lies.
        precision: of its forward pass.
    """
    if device.type != "cuda" or precision != "bfloat16":
        return
    for system in [m for m in network.modules() if isinstance(m, System)]:
        for encoder in system.pretrained().values():
            hold_frozen(encoder)
    for module in network.modules():
        if type(module) in _NORMS:
            # Of a class, not a function put on each: torch.compile then makes one kernel for all.
            module.__class__ = _NORMS[type(module)]


def hold_frozen(encoder: nn.Module) -> None:
    """Hold in bfloat16 what autocast would cast before each product, to the same digits: weights
    and biases of frozen layers, but for those that DoRA computes with besides."""
    read = {
        id(m.base_layer) for m in encoder.modules() if getattr(m, "lora_magnitude_vector", None)
    }
    for module in encoder.modules():
        if type(module) in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d) and id(module) not in read:
            for name, parameter in [*module.named_parameters(recurse=False)]:
                if not parameter.requires_grad:
                    held = parameter.detach().to(torch.bfloat16)
                    module.register_parameter(name, nn.Parameter(held, requires_grad=False))


class _LayerNorm(nn.LayerNorm):
    """Answers in the dtype that it is asked in. On a GPU autocast casts what goes into a norm to
    float32, and so hands on twice the bytes; its kernels sum in float32 whatever they are given. A
    CPU's autocast leaves norms alone too."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = _like(self.weight, x), _like(self.bias, x)
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class _GroupNorm(nn.GroupNorm):
    """As `_LayerNorm`."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = _like(self.weight, x), _like(self.bias, x)
            return F.group_norm(x, self.num_groups, weight, bias, self.eps)


def _like(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)


_NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.LayerNorm: _LayerNorm,
    nn.GroupNorm: _GroupNorm,
}
