"""`lora`: low-rank adapters beside frozen weights (Hu et al., arXiv 2106.09685), by peft."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from segcore.methods.adapters import PeftAdapters
from segcore.registry import STRICT

if TYPE_CHECKING:
    from peft import LoraConfig

LIBRARIES = ("peft",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lora(PeftAdapters):
    """W + (alpha / rank) B A with W frozen, on the targets of the RGB encoder."""

    name: ClassVar[str] = "lora"

    def peft_config(self, names: list[str]) -> "LoraConfig":
        """Plain adapters; rank * (inputs + outputs) parameters per target."""
        from peft import LoraConfig  # a second, for those who adapt a network alone

        return LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            target_modules=names,
        )
