"""`adapter`: small networks behind the frozen blocks' layers (Houlsby et al., arXiv 1902.00751).

None of peft's methods is this one: its adapters are linear, and stand beside weights.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import AdamW

from segcore.methods.adapters import of_head_and_adapters
from segcore.methods.method import AdaptingMethod, freeze_pretrained, layers_to_adapt
from segcore.registry import STRICT
from segcore.systems.system import System, within_block
from segcore.training.schedule import OptimConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adapter(AdaptingMethod):
    """What a block's attention or MLP gives, plus a narrow network of it that begins at zero."""

    name: ClassVar[str] = "adapter"
    of_head_rate: ClassVar[float] = 10 / 3
    width: Annotated[int, Field(ge=1)] = 16
    """Of the narrow layer."""
    behind: Literal["mlp", "attention+mlp"] = "mlp"
    """Behind each block's MLP (Pfeiffer et al., arXiv 2005.00247), or behind its attention too, as
    Houlsby et al. have it."""

    @property
    def mergeable(self) -> bool:
        """It is no linear map."""
        return False

    def adapt(self, system: System) -> None:
        """Freeze the encoders and put an adapter behind each block's output layers.

        Raises:
            ValueError: the system has no such layers.
        """
        freeze_pretrained(system)
        outputs = output_layers(system, attention=self.behind == "attention+mlp")
        for path, module in outputs.items():
            system.set_submodule(path, Bottleneck(module, self.width))

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on head and adapters, at their own rates."""
        return of_head_and_adapters(system, optim, self.rate(optim))

    def merge(self, system: System) -> None:
        """Refuse.

        Raises:
            ValueError: always.
        """
        raise ValueError("method adapter: its layers are not linear and can't be merged")


class Bottleneck(nn.Module):
    """A layer, and a narrow network of its output put to it."""

    def __init__(self, layer: nn.Linear, width: int) -> None:
        super().__init__()
        self.layer = layer
        outputs, device = layer.out_features, layer.weight.device
        self.down = nn.Linear(outputs, width, device=device)
        self.up = nn.Linear(width, outputs, device=device)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """What the layer gives of (..., inputs)."""
        out: Tensor = self.layer(x)
        narrow: Tensor = self.up(nn.functional.gelu(self.down(out)))
        return out + narrow


def output_layers(system: System, *, attention: bool) -> Mapping[str, nn.Linear]:
    """The last layer of each block's MLP, and of its attention if asked for, by module path.

    Raises:
        ValueError: the system has none.
    """
    last: dict[tuple[str, str], str] = {}
    every = layers_to_adapt(system, "attention+mlp")
    for path in every:
        block, part = within_block(path)
        if attention or part == "mlp":
            last[block, part] = path  # in the order of the modules: the last one stays
    return {path: every[path] for path in last.values()}
