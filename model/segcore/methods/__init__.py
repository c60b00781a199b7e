"""Ways of adapting pretrained weights, by name.

adalora      `adalora`: adapters whose rank is shared out by importance (Zhang et al., arXiv
             2303.10512).
adapter      `adapter`: small networks behind the frozen blocks' layers (Houlsby et al., arXiv
             1902.00751).
adapters     What the methods with adapters share.
dora         `dora`: weight-decomposed adapters (Liu et al., arXiv 2402.09353), by peft.
frozen       `frozen`: only the head trains.
full         `full`: pretrained weights move, whole.
galore       GaLore and its kin: one optimizer; the methods differ in the projector and nothing
             else.
layer_decay  Layer-wise decay of the rate: the lower a transformer block, the less it moves.
lora         `lora`: low-rank adapters beside frozen weights (Hu et al., arXiv 2106.09685), by
             peft.
lora_qv      `lora_qv`: LoRA on queries and values alone.
method       What every method offers: which parameters move, and which optimizer moves them.
updater      What a training loop asks of an optimizer between the backward pass and the step.
"""

from collections.abc import Mapping

from segcore.tables import Table, Trait

METHODS = Table("METHODS", "segcore.methods", "method")
_FROZEN = "use frozen, which trains all the rest"
_LAYERS: Mapping[Trait, str] = {"layers to adapt": _FROZEN}
METHODS.add("frozen", "segcore.methods.frozen:Frozen", "pretrained weights stay as they are")
METHODS.add(
    "full",
    "segcore.methods.full:Full",
    "pretrained weights move, plain AdamW",
    needs={"pretrained weights": _FROZEN},
)
METHODS.add(
    "lora",
    "segcore.methods.lora:Lora",
    "low-rank adapters beside the weights (peft)",
    needs=_LAYERS,
)
METHODS.add(
    "lora_qv",
    "segcore.methods.lora_qv:LoraQv",
    "adapters on queries and values alone, keys untouched",
    needs={**_LAYERS, "queries and values": "use lora"},
)
METHODS.add(
    "dora",
    "segcore.methods.dora:Dora",
    "adapters for a weight's direction, and its length (peft)",
    needs=_LAYERS,
)
METHODS.add(
    "adalora",
    "segcore.methods.adalora:AdaLora",
    "adapters whose rank goes where it matters (peft)",
    needs=_LAYERS,
)
METHODS.add(
    "adapter",
    "segcore.methods.adapter:Adapter",
    "small networks behind the blocks' layers, which can't be merged",
    needs=_LAYERS,
)
METHODS.add(
    "identity",
    "segcore.methods.galore:Identity",
    "GaLore's weights and optimizer, no projection: what a low rank is compared with",
    needs=_LAYERS,
)
METHODS.add(
    "galore",
    "segcore.methods.galore:Galore",
    "gradients projected on singular vectors (exact SVD)",
    needs=_LAYERS,
)
METHODS.add(
    "galore_published",
    "segcore.methods.galore:GalorePublished",
    "GaLore as its authors' optimizer has it",
    needs=_LAYERS,
)
METHODS.add(
    "srft_galore",
    "segcore.methods.galore:SrftGalore",
    "gradients projected by a subsampled randomized Fourier transform",
    needs=_LAYERS,
)
METHODS.add(
    "srft_galore_plus",
    "segcore.methods.galore:SrftGalorePlus",
    "the same with the recommended options: warm, moments rotated, every 5 steps",
    needs=_LAYERS,
)
METHODS.add(
    "srft_galore_published",
    "segcore.methods.galore:SrftGalorePublished",
    "the projection as its authors' code has it",
    needs=_LAYERS,
)
