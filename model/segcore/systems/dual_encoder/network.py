"""The dual encoder of SRFT-GaLore: one encoder sees the image, another one the depth, a light
decoder draws the classes. SRFT-GaLore's own are SAM2 and Depth Anything V2.

Shape suffixes: B batch, K classes, H W image size, h w feature size.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Modality, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems import SYSTEMS
from segcore.systems.blocks import loss_with_sides
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.depth_encoders.depth_encoder import DepthEncoder, DepthEncoderConfig
from segcore.systems.dual_encoder.decoder import DecoderConfig
from segcore.systems.dual_encoder.fusion import Fusion, FusionConfig
from segcore.systems.pixels import Enlarging, logits_at, resize
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig, below
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.system import LARGEST_SIDE, Part, Published, System, SystemConfig, Targets
from segcore.systems.weights import from_elsewhere, read_all, tensors_hash


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DualEncoderConfig(SystemConfig):
    """An encoder of images and one of depth, joined at one level of the former's features."""

    name: ClassVar[str] = "dual_encoder"
    renamed: ClassVar[Mapping[str, str]] = {"sam2": "rgb"}
    """Fields of earlier versions -> what took their place, for the message."""

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE)
    """Side of the square image that the RGB encoder sees, pixels: a multiple of 32 for SAM2, of 16
    for most others. Other images are resized."""
    rgb: RgbEncoderConfig = dataclasses.field(default_factory=Sam2Config)
    depth: DepthEncoderConfig = dataclasses.field(default_factory=DepthAnythingV2Config)
    """Not read with `fusion.mode="rgb_only"`."""
    fusion: FusionConfig = dataclasses.field(default_factory=FusionConfig)
    decoder: DecoderConfig = dataclasses.field(default_factory=DecoderConfig)
    enlarging: Enlarging = "bilinear"
    """How logits are brought from stride 4 to the size asked for, in training and evaluation."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    def __post_init__(self) -> None:
        if self.image_size % self.rgb.size_multiple:
            raise ValueError(
                f"image_size = {self.image_size}: give a multiple of {self.rgb.size_multiple}, as "
                f"the RGB encoder {self.rgb.name} needs"
            )
        if self.fusion.mode == "cross_attention":
            self.fusion.check_heads(self.rgb.width)
        self.decoder.check_width(self.rgb.width)

    @property
    def unread(self) -> tuple[str, ...]:
        """Fields of which nothing is built."""
        return ("depth",) if self.fusion.mode == "rgb_only" else ()

    @property
    def needs_depth(self) -> bool:
        """Whether the depth encoder looks at depth maps, not at images."""
        return self.fusion.mode != "rgb_only" and self.depth.source == "map"

    def check_weights(self) -> None:
        """Read the weights of the encoders whose weights come from elsewhere.

        Raises:
            ValueError: a file is missing or does not fit; all of them.
        """
        reads: list[Callable[[], object]] = []
        if from_elsewhere(self.rgb):
            reads.append(partial(self.rgb.build, self.image_size))
        if self.fusion.mode != "rgb_only" and from_elsewhere(self.depth):
            reads.append(self.depth.build)
        read_all(reads)

    def build(self, classes: ClassSpec) -> "DualEncoder":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: a checkpoint cannot be read or does not fit.
        """
        return DualEncoder(self, classes)


class DualEncoder(System):
    """Two pretrained encoders; the fusion and the decoder are its head, and whatever the RGB
    encoder has begun at random."""

    repeats = True

    def __init__(self, config: DualEncoderConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        # Depth comes last, so that the other parts start alike with and without it.
        self.rgb = config.rgb.build(config.image_size)
        self.decoder = config.decoder.build(config.rgb.width, len(classes.names))
        self.depth: DepthEncoder | None = None
        self.fusion: Fusion | None = None
        if config.fusion.mode != "rgb_only":
            self.depth = config.depth.build()
            pyramid = config.decoder.layout == "pyramid"
            self.fusion = config.fusion.build(
                config.rgb.width, config.depth.width, config.decoder.width if pyramid else None
            )
        hashes = [f"{name} {tensors_hash(part)};" for name, part in self.pretrained().items()]
        self._weights_hash = hashlib.sha256("".join(hashes).encode()).hexdigest()

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the decoder's own map of them, beside
        those of `decoder.side_weight`.

        Raises:
            ValueError: the depth encoder is to see a depth map and the batch has none.
        """
        image_B3HW = resize(batch.image_B3HW, self._config.input_size)
        features, positions = self.rgb(image_B3HW)
        fused: dict[int, Tensor] = {}
        if self.depth is not None and self.fusion is not None:
            stride = self._config.fusion.stride
            depth_BChw = self.depth(*self._depth_input(batch))
            fused[stride] = self.fusion(features[stride], depth_BChw, positions[stride])
        native, sides = self.decoder(features, fused)
        logits_BKhw = logits_at(native, size, self._config.enlarging)
        return Prediction(logits_BKhw, {"native": native, **sides})

    def _depth_input(self, batch: Batch) -> tuple[Tensor, tuple[str, ...] | None]:
        """What the depth encoder looks at, (B, 3, H, W) in [0, 1], and its hashes."""
        if self._config.depth.source == "image":
            return batch.image_B3HW, batch.image_hashes
        if batch.depth_B1HW is None:
            advice = SYSTEMS[DualEncoderConfig.name].needs["depth maps"]
            raise ValueError(f"the dataset has no depth maps: {advice}")
        return batch.depth_B1HW.expand(-1, 3, -1, -1), batch.depth_hashes

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks, and of the coarser ones that `side_weight` asks for."""
        return loss_with_sides(self._loss, prediction, batch, self._config.decoder.side_weight)

    def parts(self) -> Mapping[str, Part]:
        """The encoders are pretrained, but for a pyramid that one may have on a transformer of one
        scale; fusion and decoder are not."""
        parts = {below("rgb", path): part for path, part in self.rgb.parts().items()}
        parts["decoder"] = Part(self.decoder, "head")
        if self.depth is not None and self.fusion is not None:
            parts |= {"depth": Part(self.depth, "pretrained"), "fusion": Part(self.fusion, "head")}
        return parts

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of the RGB encoder. The paper adapts SAM2 alone and leaves depth frozen."""
        return {below("rgb", n): module for n, module in self.rgb.adaptable(targets).items()}

    def published(self) -> Published | None:
        """The RGB encoder, less what is begun here."""
        return self.rgb.published()

    def weights_hash(self) -> str:
        """Hash of both encoders' weights as they were loaded."""
        return self._weights_hash

    @property
    def remembers(self) -> Modality | None:
        """What the depth encoder looks at, unless it moves."""
        if self.depth is None or not self.depth.frozen:
            return None
        return "image" if self._config.depth.source == "image" else "depth"
