"""WEFT (arXiv 2601.09108): a frozen vision transformer, guided by wavelet experts that see the
image at four scales, with Mask2Former's head.

Shape suffixes: B batch, K classes, H W asked-for size, h w feature size, C channels, L tokens or
places in a row.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.loss import Loss
from segcore.losses.query_matching import QueryMatching
from segcore.registry import STRICT
from segcore.systems.norms import Norm, norm_of
from segcore.systems.pixels import Standardise, enlarge, resize
from segcore.systems.rgb_encoders.vit import VitWeights, embed
from segcore.systems.system import LARGEST_SIDE, Part, System, SystemConfig, Targets, projections
from segcore.systems.weft.adapter import STAGES, AdapterConfig, Stage, check_width, flat
from segcore.systems.weft.experts import Choice, ExpertConfig, Pyramid, expert_maps
from segcore.systems.weft.head import HeadConfig, class_logits, decided
from segcore.systems.weft.spatial import LEVELS
from segcore.systems.weights import from_elsewhere, tensors_hash


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WeftConfig(SystemConfig):
    """A transformer, what guides it, and the head."""

    name: ClassVar[str] = "weft"

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE)
    """Side of the square image that the transformer sees, pixels; a multiple of its patch's. Other
    images are resized."""
    vit: VitWeights = dataclasses.field(default_factory=VitWeights)
    guided: bool = True
    """Whether anything stands beside the transformer. False: the head sees the transformer's own
    features after each quarter of its blocks, at the same four sizes: what WEFT is held against
    where other ways of adapting the transformer take the place of its own."""
    experts: ExpertConfig = dataclasses.field(default_factory=ExpertConfig)
    adapter: AdapterConfig = dataclasses.field(default_factory=AdapterConfig)
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)
    norm: Norm = "group"
    """Of everything but transformer and head, where the code has SyncBatchNorm."""
    embedding_rate: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the learning rate for the head's queries, its codes of levels and what makes
    classes and masks of queries. The code's layer decay, meant for a transformer that is frozen,
    gives them 0.9^25 = 0.072."""
    output: Literal["probabilities", "labels"] = "probabilities"
    """What is handed out when nothing is trained. The code's `labels` are sure of every pixel:
    measures of probabilities then see 0 and 1 alone."""
    loss: Loss = dataclasses.field(default_factory=QueryMatching)

    def __post_init__(self) -> None:
        faults = check_width(self.vit.width, self.adapter)
        beside = {"experts": ExpertConfig(), "adapter": AdapterConfig()}
        faults += [
            f"{name} has no effect with guided=False: leave it out"
            for name, usual in beside.items()
            if not self.guided and getattr(self, name) != usual
        ]
        if self.image_size % self.vit.patch:
            faults.append(f"image_size = {self.image_size}: give a multiple of {self.vit.patch}")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def has_queries(self) -> bool:
        """Of Mask2Former's kind."""
        return True

    @property
    def gradients_in_frozen_blocks(self) -> bool:
        """What experts see goes into the transformer between its stages."""
        return self.guided

    def check_weights(self) -> None:
        """Read the transformer's weights, where they come from elsewhere.

        Raises:
            ValueError: they are missing or do not fit.
        """
        if from_elsewhere(self.vit):
            self.vit.build(self.image_size)

    def build(self, classes: ClassSpec) -> "Weft":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: a checkpoint cannot be read or does not fit.
        """
        return Weft(self, classes)


class Weft(System):
    """Transformer, pyramid of experts, a stage of the adapter for each quarter of the blocks, and
    the head."""

    def __init__(self, config: WeftConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config, self._exclusive = config, classes.exclusive
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        self._by_queries = config.loss.needs_queries
        self.vit = config.vit.build(config.image_size)
        self._weights_hash = tensors_hash(self.vit)
        width = config.vit.width
        self.pyramid: Pyramid | None = None
        self.levels: nn.Embedding | None = None
        """A code of each scale's own."""
        stages = range(STAGES if config.guided else 0)
        if config.guided:
            self.pyramid = Pyramid(config.experts, width, config.norm)
            self.levels = nn.Embedding(LEVELS, width)
        self.stages = nn.ModuleList(
            Stage(width, config.adapter, config.norm, last=i == STAGES - 1) for i in stages
        )
        self.norms = nn.ModuleList(norm_of(width, config.norm) for _ in range(LEVELS + 1))
        self.head = config.head.build(width, len(classes.foreground))

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the map of them at the head's own size,
        `extras["query_classes"]` and `extras["query_masks"]` what they are made of, after each of
        the head's layers, and `extras["experts"]` the experts' weights (B, scales, experts)."""
        image_B3HW = self.standardise(resize(batch.image_B3HW, self._config.input_size))
        choices: list[Choice] = []
        if self.pyramid is None:
            seen = self._unguided(image_B3HW)
        else:
            scales, choices = self.pyramid(image_B3HW)
            seen = self._guided(image_B3HW, scales)
        classes_DBQL, masks_DBQhw = self.head(seen)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._by_queries):
            last = (classes_DBQL[-1], masks_DBQhw[-1])
            native = class_logits(*last, masks_DBQhw.shape[-2:], exclusive=self._exclusive)
            logits = class_logits(*last, size, exclusive=self._exclusive)
            if self._config.output == "labels" and not self.training:
                logits = decided(logits, exclusive=self._exclusive)
        extras = {
            "native": native,
            "query_classes": classes_DBQL,
            "query_masks": masks_DBQhw,
            "step": torch.tensor(progress.step),
        }
        if choices:
            extras["experts"] = torch.stack([c.weight_BE.detach() for c in choices], dim=1)
        maps = expert_maps(choices) if choices and not self.training else {}
        return Prediction(logits, extras, maps)

    def _guided(self, image_B3HW: Tensor, scales: list[Tensor]) -> list[Tensor]:
        """The maps that the head sees, finest first: what came of the pyramid's, and the
        transformer's after each stage."""
        assert self.levels is not None
        vit, grid, prefix = self.vit, self._grid, int(self.vit.num_prefix_tokens)
        finest, *beside = scales
        sizes: list[Size] = [(c.shape[-2], c.shape[-1]) for c in beside]
        codes = self.levels.weight[:, :, None, None]
        c_BLC = flat([c + code for c, code in zip(beside, codes, strict=True)])
        x_BLC, after = embed(vit, image_B3HW), []
        for i, stage in enumerate(self.stages):
            assert isinstance(stage, Stage)
            told = stage.inject(x_BLC[:, prefix:], grid, c_BLC, sizes)
            x_BLC = torch.cat([x_BLC[:, :prefix], told], dim=1)
            x_BLC = self._through_stage(i, x_BLC)
            c_BLC = stage.renew(c_BLC, sizes, x_BLC[:, prefix:], grid)
            after.append(x_BLC[:, prefix:].transpose(1, 2).unflatten(2, grid))
        parts = c_BLC.split([height * width for height, width in sizes], dim=1)
        beside = [c.transpose(1, 2).unflatten(2, s) for c, s in zip(parts, sizes, strict=True)]
        return [
            norm(c + enlarge(x, (c.shape[-2], c.shape[-1])))
            for norm, c, x in zip(self.norms, [finest, *beside], after, strict=True)
        ]

    def _unguided(self, image_B3HW: Tensor) -> list[Tensor]:
        """The maps that the head sees, finest first, of the transformer alone."""
        prefix, side = int(self.vit.num_prefix_tokens), self._config.image_size
        x_BLC, maps = embed(self.vit, image_B3HW), []
        for i, norm in enumerate(self.norms):
            x_BLC = self._through_stage(i, x_BLC)
            x_BChw = x_BLC[:, prefix:].transpose(1, 2).unflatten(2, self._grid)
            size = math.ceil(side / FINEST / 2**i)
            maps.append(norm(enlarge(x_BChw, (size, size))))
        return maps

    @property
    def _grid(self) -> Size:
        side = self._config.image_size // self._config.vit.patch
        return side, side

    def _through_stage(self, stage: int, x_BLC: Tensor) -> Tensor:
        """Tokens through a quarter of the transformer's blocks."""
        per_stage = len(self.vit.blocks) // STAGES
        for block in self.vit.blocks[stage * per_stage : (stage + 1) * per_stage]:
            x_BLC = block(x_BLC)
        return x_BLC

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss: of the queries, or of the map that they make."""
        value: Tensor = self._loss(prediction, batch)
        return value

    def parts(self) -> Mapping[str, Part]:
        """The transformer is pretrained; everything else is begun here."""
        parts = {"vit": Part(self.vit, "pretrained")}
        beside = ("pyramid", "levels", "stages") if self._config.guided else ()
        for name in (*beside, "norms"):
            parts[name] = Part(self.get_submodule(name), "head")
        rates = dict.fromkeys(_EMBEDDINGS, self._config.embedding_rate)
        for name in (*_LAYERS, *_EMBEDDINGS):
            parts[f"head.{name}"] = Part(
                self.head.get_submodule(name), "head", rate=rates.get(name, 1.0)
            )
        return parts

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of the transformer."""
        found = projections(self.vit, mlp=targets == "attention+mlp")
        return {f"vit.{name}": module for name, module in found.items()}

    def weights_hash(self) -> str:
        """Hash of the transformer's weights as they were loaded."""
        return self._weights_hash


FINEST = 4
"""Stride of the finest map that the head sees; each further one is half as fine."""
_LAYERS = ("pixels", "queries.decoder.layers", "queries.decoder.layernorm")
_EMBEDDINGS = (
    "classes",
    "queries.queries_embedder",
    "queries.queries_features",
    "queries.level_embed",
    "queries.decoder.mask_predictor",
)
"""Of the head, what the code's layer decay takes for a transformer's first layer."""
