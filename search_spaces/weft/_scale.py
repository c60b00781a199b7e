"""What the studies of WEFT share."""

from typing import Any

from segcore.config import TrainConfig
from segcore.presets import weft_nano, weft_recommended
from segcore.systems.weft.adapter import AdapterConfig
from segcore.systems.weft.experts import ExpertConfig
from segcore.systems.weft.network import WeftConfig

SEEDS = (0, 1, 2)
ESTO = "system.adapter.subspace_tokens"
SEE = "system.adapter.enhancer.enabled"
UNGUIDED = {
    "system.guided": False,
    "system.experts": ExpertConfig(),
    "system.adapter": AdapterConfig(),
}
"""The transformer and the head alone."""


def paper_scale() -> TrainConfig:
    """Uni-Perceiver-L at 512 on EORSSD, in the folder that the user downloaded it to."""
    name = "uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth"
    return weft_recommended("data/EORSSD", vit_checkpoint=f"weights/{name}")


def nano_scale() -> TrainConfig:
    """A small transformer on rendered fields."""
    return weft_nano()


def experts_of(scale: TrainConfig) -> dict[str, Any]:
    """What puts a scale's experts back where there are none."""
    assert isinstance(scale.system, WeftConfig)
    experts = scale.system.experts
    return {"system.experts.kernels": experts.kernels, "system.experts.top": experts.top}


WITHOUT_EXPERTS = {"system.experts.kernels": (), "system.experts.top": ExpertConfig().top}
