"""I-MedSAM (arXiv 2311.17081): SAM with adapters for frequencies and an implicit field in the place
of its mask head, which gives masks of any size.

Shape suffixes: B batch, K classes, H W asked-for size, h w feature size, C channels, N boxes of an
image, P points, F features of a point.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems.boxes import finished, told
from segcore.systems.imedsam.coordinates import CoordinateConfig
from segcore.systems.imedsam.drawing import Drawing, too_large
from segcore.systems.imedsam.field import FieldConfig
from segcore.systems.imedsam.frequency import FrequencyAdapter, FrequencyConfig, spectrum
from segcore.systems.imedsam.uncertainty import SamplingConfig, generator_of
from segcore.systems.pixels import AS_IT_IS, Standardise, logits_at, resize, taken_out
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.systems.system import (
    LARGEST_SIDE,
    Part,
    Published,
    Role,
    System,
    SystemConfig,
    Targets,
    projections,
)
from segcore.systems.weights import from_elsewhere, moves, tensors_hash


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IMedSamConfig(SystemConfig):
    """SAM's encoder, prompt encoder and two-way transformer, and what decodes them."""

    name: ClassVar[str] = "imedsam"

    image_size: int = Field(default=128, ge=32, le=LARGEST_SIDE, multiple_of=16)
    """Side of the square image that SAM sees, pixels. Other images are resized."""
    sam: SamWeights = dataclasses.field(default_factory=SamWeights)
    standardise: bool = True
    """Take out ImageNet's mean and standard deviation, as SAM was trained. The code doesn't."""
    frequency: FrequencyConfig = dataclasses.field(default_factory=FrequencyConfig)
    decoder: Literal["field", "masks"] = "field"
    """`masks`: SAM's own mask head, whose size is a quarter of the image's; "LoRA" in the paper."""
    features: Literal["upscaled", "encoder"] = "upscaled"
    """What the field knows of a point beside its place: the two-way transformer's features,
    upscaled (the code's; boxes reach the field through them), or the image encoder's and the box's
    (the paper's)."""
    image_code: bool = False
    """Whether SAM's own position code is among a point's features, as in the code."""
    coordinates: CoordinateConfig = dataclasses.field(default_factory=CoordinateConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    field_rate: Annotated[float, Field(gt=0)] = 20.0
    """Factor of the learning rate that the field is given: 1e-3 beside 5e-5."""
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    training_stride: Annotated[int, Field(ge=1, le=16)] = 2
    """The field is trained on every so many pixels of a row and of a column; 1: on all, as the code
    does."""
    tuned_prompts: Literal["used", "all"] = "used"
    """Which parts of the prompt encoder train. `all`, as in the code, includes codes of points and
    masks, which boxes never reach: they count, and stay as they are."""
    progressive_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which the loss goes over from the coarse mask to the fine one: the code's are 5.
    0: the whole training. The paper gives no schedule."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)
    """Of the coarse mask and of the fine one alike."""

    def __post_init__(self) -> None:
        if self.image_size % self.sam.patch:
            raise ValueError(f"image_size = {self.image_size}: give a multiple of {self.sam.patch}")

    @property
    def takes_prompts(self) -> bool:
        """Boxes."""
        return True

    @property
    def gradients_in_frozen_blocks(self) -> bool:
        """Adapters of frequencies stand between the encoder's blocks."""
        return self.frequency.map != "none"

    def check_weights(self) -> None:
        """Read SAM's weights, where they come from elsewhere.

        Raises:
            ValueError: they are missing or do not fit.
        """
        if from_elsewhere(self.sam):
            self.sam.build(self.image_size)

    def build(self, classes: ClassSpec) -> "IMedSam":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: a checkpoint cannot be read or does not fit.
        """
        return IMedSam(self, classes)


class IMedSam(System):
    """SAM, adapters and field. Of exclusive classes the background's logit is 0 everywhere."""

    def __init__(self, config: IMedSamConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config, self._exclusive = config, classes.exclusive
        self._classes = len(classes.foreground)
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        self.sam = config.sam.build(config.image_size)
        self._weights_hash = tensors_hash(self.sam)
        encoder, width = self.sam.vision_encoder, config.sam.width
        self.adapters: nn.ModuleList | None = None
        if config.frequency.map != "none":
            channels = encoder.config.hidden_size
            self.adapters = nn.ModuleList(
                FrequencyAdapter(channels, config.frequency.width) for _ in encoder.layers
            )
        self.field = None
        if config.decoder == "field":
            told = width // 8 if config.features == "upscaled" else 3 * width
            inputs = told + config.coordinates.width + (width if config.image_code else 0)
            fine = config.sampling.ratio > 0
            self.field = config.field.build(inputs, self._classes, fine=fine)

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the map of them that was computed,
        and `extras["coarse"]` that of the coarse field alone, in training.

        Raises:
            ValueError: SAM's mask head is to draw several classes and has one box for all of them,
                or masks of this size do not fit the memory.
        """
        image_B3HW = resize(batch.image_B3HW, self._config.input_size)
        embedding_BChw = self._encode(image_B3HW)
        boxes_BN4, present_BN = told(batch.prompts, image_B3HW)
        sparse_BN2C, dense_BChw = self.sam.prompt_encoder(
            input_points=None,
            input_labels=None,
            input_boxes=boxes_BN4 * self._config.image_size,
            input_masks=None,
        )
        code_1Chw: Tensor = self.sam.get_image_wide_positional_embeddings()  # type: ignore[no-untyped-call]
        if self._config.decoder == "masks":
            masks = self._masks(embedding_BChw, code_1Chw, sparse_BN2C, dense_BChw)
            native = finished(masks, present_BN, exclusive=self._exclusive)
            return Prediction(_at(native, size), {"native": native})
        maps = self._point_features(embedding_BChw, code_1Chw, sparse_BN2C, dense_BChw)
        try:
            return self._by_field(maps, present_BN, batch, size, progress)
        except RuntimeError as error:  # torch has a class of its own for GPUs alone
            if self.training or "memory" not in str(error):
                raise
            raise ValueError(too_large(size, len(batch), self._classes)) from error

    def _encode(self, image_B3HW: Tensor) -> Tensor:
        """The image embedding (B, C, h, w)."""
        encoder, config = self.sam.vision_encoder, self._config
        seen = self.standardise(image_B3HW) if config.standardise else image_B3HW
        trained = self.training and self.adapters is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and (trained or moves(encoder))):
            x_BhwC = encoder.patch_embed(seen) + encoder.pos_embed
            waves_BhwC = None
            if self.adapters is not None:
                shown = spectrum(image_B3HW, config.frequency).to(x_BhwC.dtype)
                waves_BhwC = encoder.patch_embed(shown) + encoder.pos_embed
            for i, layer in enumerate(encoder.layers):
                x_BhwC = layer(x_BhwC)
                if self.adapters is not None:
                    waves_BhwC = self.adapters[i](waves_BhwC)
                    x_BhwC = x_BhwC + config.frequency.weight * waves_BhwC
            embedding: Tensor = encoder.neck(x_BhwC)
        return embedding

    def _two_way(
        self, embedding_BChw: Tensor, code_1Chw: Tensor, sparse_BN2C: Tensor, dense_BChw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """SAM's mask decoder up to its heads: the tokens (B, N, T, C), and the image's features,
        upscaled, (B N, C / 8, 4 h, 4 w)."""
        decoder = self.sam.mask_decoder
        batch, boxes = sparse_BN2C.shape[:2]
        own_TC = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own_TC.expand(batch, boxes, -1, -1), sparse_BN2C], dim=2)
        image = (embedding_BChw + dense_BChw).repeat_interleave(boxes, 0)
        tokens, image = decoder.transformer(
            point_embeddings=tokens,
            image_embeddings=image,
            image_positional_embeddings=code_1Chw.expand_as(image),
            attention_similarity=None,
            target_embedding=None,
        )
        height, width = embedding_BChw.shape[-2:]
        image = image.transpose(2, 3).reshape(batch * boxes, -1, height, width)
        upscaled = decoder.upscale_layer_norm(decoder.upscale_conv1(image))
        upscaled = decoder.upscale_conv2(decoder.activation(upscaled))
        return tokens, decoder.activation(upscaled)

    def _masks(
        self, embedding_BChw: Tensor, code_1Chw: Tensor, sparse_BN2C: Tensor, dense_BChw: Tensor
    ) -> Tensor:
        """Logits (B, classes, 4 h, 4 w) by SAM's own head, one mask for each box."""
        batch, boxes = sparse_BN2C.shape[:2]
        if boxes != self._classes:
            raise ValueError(
                f"SAM's mask head draws one mask for each box, and there are {self._classes} "
                f"classes and {boxes} boxes: set prompts.per='class', or system.decoder='field'"
            )
        tokens, upscaled = self._two_way(embedding_BChw, code_1Chw, sparse_BN2C, dense_BChw)
        # Token 0 is of the quality, token 1 of the mask that SAM gives for an unambiguous prompt.
        shapes_BNC = self.sam.mask_decoder.output_hypernetworks_mlps[0](tokens[:, :, 1])
        upscaled = upscaled.unflatten(0, (batch, boxes))
        return torch.einsum("bnc,bnchw->bnhw", shapes_BNC, upscaled)

    def _point_features(
        self, embedding_BChw: Tensor, code_1Chw: Tensor, sparse_BN2C: Tensor, dense_BChw: Tensor
    ) -> list[Tensor]:
        """Maps (B, N, channels, h, w) that are sampled at each point."""
        batch, boxes = sparse_BN2C.shape[:2]
        if self._config.features == "upscaled":
            _, upscaled = self._two_way(embedding_BChw, code_1Chw, sparse_BN2C, dense_BChw)
            maps = [upscaled.unflatten(0, (batch, boxes))]
        else:
            image = embedding_BChw[:, None].expand(-1, boxes, -1, -1, -1)
            maps = [image, sparse_BN2C.flatten(2)[..., None, None]]
        if self._config.image_code:
            maps.append(code_1Chw[None].expand(batch, boxes, -1, -1, -1))
        return maps

    def _by_field(
        self,
        maps: list[Tensor],
        present_BN: Tensor,
        batch: Batch,
        size: Size,
        progress: Progress,
    ) -> Prediction:
        stride = self._config.training_stride if self.training else 1
        looked_at = (max(1, size[0] // stride), max(1, size[1] // stride))
        step = progress.step + 1 if self.training else 0
        assert self.field is not None
        config = self._config
        drawing = Drawing(self.field, config.sampling, config.coordinates, progress, self.training)
        found = []
        for i, sample_id in enumerate(batch.sample_ids):
            generator = generator_of(sample_id, step, present_BN.device)
            own = [m[i] for m in maps]
            found.append(drawing.image(own, looked_at, generator))
        coarse, fine, unsure = (torch.stack(parts) for parts in zip(*found, strict=True))
        native = finished(fine, present_BN, exclusive=self._exclusive)
        extras = {"native": native}
        if self.training and self._config.sampling.ratio > 0:
            extras["coarse"] = finished(coarse, present_BN, exclusive=self._exclusive)
        shown = {}
        if not self.training and self._config.sampling.ratio > 0:
            asked = present_BN.expand(-1, self._classes)[..., None, None]
            shown["uncertainty"] = (unsure * asked).amax(1, keepdim=True)
        return Prediction(_at(native, size), extras, shown)

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the coarse mask and of the fine one, the first fading out."""
        fine: Tensor = self._loss(prediction, batch)
        coarse = prediction.extras.get("coarse")
        if coarse is None:
            return fine
        epochs = self._config.progressive_epochs
        share = min(
            1.0, progress.epoch / epochs if epochs else (progress.step + 1) / progress.total
        )
        height, width = prediction.logits_BKhw.shape[-2:]
        whole = _at(coarse, (height, width))
        early: Tensor = self._loss(Prediction(whole, {"native": coarse}), batch)
        return (1 - share) * early + share * fine

    def parts(self) -> Mapping[str, Part]:
        """The method decides about the vision encoder and the two-way transformer; boxes' codes and
        upscaling are tuned; adapters and field are begun here."""
        config, decoder = self._config, self.sam.mask_decoder
        by_encoder = config.decoder == "field" and config.features == "encoder"
        two_way: Role = "pretrained" if by_encoder else "tuned"  # else nothing looks at it
        unused: Role = "tuned" if config.tuned_prompts == "all" else "pretrained"
        roles: dict[str, Role] = {
            "vision_encoder": "pretrained",
            **{f"mask_decoder.{name}": "pretrained" for name, _ in decoder.named_children()},
            **dict.fromkeys(_UPSCALING, two_way),
            **dict.fromkeys(_CORNER_CODES, "tuned"),
            **dict.fromkeys(_OTHER_CODES, unused),
        }
        parts = {
            f"sam.{name}": Part(self.sam.get_submodule(name), role) for name, role in roles.items()
        }
        if self.adapters is not None:
            parts["adapters"] = Part(self.adapters, "head")
        if self.field is not None:
            parts["field"] = Part(self.field, "head", rate=config.field_rate)
        return parts

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of the vision encoder."""
        found = projections(self.sam.vision_encoder, mlp=targets == "attention+mlp")
        return {f"sam.vision_encoder.{name}": module for name, module in found.items()}

    def published(self) -> Published:
        """SAM, its mask head as it was: neither adapters nor field are in it."""
        pixels = taken_out() if self._config.standardise else AS_IT_IS
        return Published(self.sam, "SAM", pixels)

    def weights_hash(self) -> str:
        """Hash of SAM's weights as they were loaded."""
        return self._weights_hash


def _at(logits_BKhw: Tensor, size: Size) -> Tensor:
    """Logits at a size; the field's own where it was asked at that size."""
    same = logits_BKhw.shape[-2:] == size
    return logits_BKhw.float() if same else logits_at(logits_BKhw, size)


_UPSCALING = (
    "prompt_encoder.no_mask_embed",
    "mask_decoder.upscale_conv1",
    "mask_decoder.upscale_layer_norm",
    "mask_decoder.upscale_conv2",
)
"""What is tuned on the way from the two-way transformer to the masks: that no mask was given goes
into it with the image."""
_CORNER_CODES = ("prompt_encoder.point_embed.2", "prompt_encoder.point_embed.3")
_OTHER_CODES = (
    "prompt_encoder.point_embed.0",
    "prompt_encoder.point_embed.1",
    "prompt_encoder.not_a_point_embed",
    "prompt_encoder.mask_embed",
)
