"""`dora`: weight-decomposed adapters (Liu et al., arXiv 2402.09353), by peft."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from segcore.methods.adapters import PeftAdapters
from segcore.registry import STRICT

if TYPE_CHECKING:
    from peft import LoraConfig

LIBRARIES = ("peft",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dora(PeftAdapters):
    """The direction of W + (alpha / rank) B A, with W frozen, times a trained length per output."""

    name: ClassVar[str] = "dora"

    def peft_config(self, names: list[str]) -> "LoraConfig":
        """LoRA's parameters and one per output of each target."""
        from peft import LoraConfig  # a second, for those who adapt a network alone

        return LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            target_modules=names,
            use_dora=True,
        )
