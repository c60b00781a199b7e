"""Ways of adapting pretrained weights, by name."""

from collections.abc import Mapping

from segcore.registry import Entry

METHODS: Mapping[str, Entry] = {
    "frozen": Entry("segcore.methods.frozen:Frozen", "pretrained weights stay as they are"),
    "full": Entry("segcore.methods.full:Full", "every pretrained weight moves, plain AdamW"),
    "lora": Entry("segcore.methods.lora:Lora", "low-rank adapters beside the weights (peft)"),
    "galore": Entry(
        "segcore.methods.galore:Galore", "gradients projected on singular vectors (exact SVD)"
    ),
    "srft_galore": Entry(
        "segcore.methods.galore:SrftGalore",
        "gradients projected by a subsampled randomized Fourier transform",
    ),
}
