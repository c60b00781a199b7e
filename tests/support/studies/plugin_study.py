"""A study's file that brings its own data set, system, encoder, method, loss, transform, metrics:
small ones.

Volumes of two slices, of which each is higher than the system's input is, with a spacing and pixels
that nobody knows; a system whose input is not square, that is told boxes and draws its uncertainty.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Prediction, Progress, Prompts, Size
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data import DATASETS
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig, Dataset, Sample, Source, Split
from segcore.data.pixels import resized, resized_labels
from segcore.data.prompts import PromptConfig
from segcore.losses import LOSSES
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.methods import METHODS
from segcore.methods.method import Method, adamw, freeze_pretrained, head_groups
from segcore.metrics import METRICS
from segcore.metrics.metric import Metric, Pair
from segcore.metrics.table import OF_CASES
from segcore.registry import STRICT
from segcore.systems import SYSTEMS
from segcore.systems.pixels import logits_at, resize
from segcore.systems.rgb_encoders import RGB_ENCODERS
from segcore.systems.rgb_encoders.rgb_encoder import (
    STRIDES,
    Levels,
    RgbEncoder,
    RgbEncoderConfig,
)
from segcore.systems.system import Part, System, SystemConfig, Targets
from segcore.systems.weights import Pretrained
from segcore.training.evaluation import EvaluationConfig
from segcore.training.schedule import OptimConfig, Schedule
from segcore.transforms import TRANSFORMS
from segcore.transforms.transform import Transform
from segtune import Ablation

STORED: Size = (48, 80)
SLICES = 2
CLASSES = ClassSpec(("background", "organ", "lesion"), exclusive=True)


@DATASETS.register(
    "ellipses", "volumes of two slices with an organ and a lesion in it", lacks=("depth maps",)
)
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Ellipses(DataConfig):
    """Drawn anew in every process; nothing lies on disk."""

    train: int = 4
    """Volumes of the train split."""
    val: int = 2
    test: int = 2

    @property
    def metrics(self) -> tuple[str, ...]:
        """Also those of whole volumes, and this file's own."""
        return ("dice.per_image", "assd.per_class_px", *OF_CASES, "error.mean", "best_dice.set")

    def open(self) -> "Volumes":
        """Nothing can be wrong with them."""
        return Volumes(self)


class Volumes(Dataset):
    """The opened set."""

    classes = CLASSES
    has_depth = False

    def __init__(self, config: Ellipses) -> None:
        self._config = config

    def ids(self, split: Split) -> Sequence[str]:
        """`val1-0` is the first slice of the second volume of val."""
        volumes = range(getattr(self._config, split))
        return [f"{split}{v}-{s}" for v in volumes for s in range(SLICES)]

    def sources(self, split: Split) -> Mapping[str, Source]:
        """A volume is a case, and a patient of its own."""
        found = {}
        for sample_id in self.ids(split):
            volume = sample_id.partition("-")[0]
            found[sample_id] = Source(
                volume, hashlib.sha256(sample_id.encode()).hexdigest(), volume
            )
        return found

    def load(self, split: Split, sample_id: str, size: Size | None) -> Sample:
        """An ellipse with a smaller one in it; the leftmost columns are known by nobody."""
        volume, _, slice_ = sample_id.partition("-")
        seed = int(hashlib.sha256(volume.encode()).hexdigest()[:8], 16)
        rng = np.random.default_rng(seed)
        row, column = rng.uniform(18, 30), rng.uniform(30, 50)
        y, x = np.mgrid[: STORED[0], : STORED[1]]
        distance = np.hypot((y - row) / 14, (x - column) / 22) * (1 + 0.1 * int(slice_))
        labels = ((distance < 1).astype(np.uint8) + (distance < 0.45)).astype(np.uint8)
        grey = 60 + 60 * labels[..., None] + rng.normal(0, 12, (*STORED, 3))
        ignore = np.zeros(STORED, np.uint8)
        ignore[:, :4] = 1
        size = size or STORED
        spacing = (5.0, 0.5 * STORED[0] / size[0], 0.5 * STORED[1] / size[1])
        return Sample(
            sample_id=sample_id,
            patient_id=volume,
            case_id=volume,
            image_HW3=resized(grey.clip(0, 255).astype(np.uint8), size),
            labels_HW=resized_labels(labels, size),
            ignore_HW=resized_labels(ignore, size) == 1,
            slice=int(slice_),
            spacing_mm=spacing,
        )

    def content_hash(self) -> str:
        """Of all that the volumes depend on."""
        values = [self._config.train, self._config.val, self._config.test]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@LOSSES.register("weighted", "Dice and cross-entropy, times a weight")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weighted(Loss):
    """A loss of one's own."""

    weight: float = 1.0

    def build(self, classes: ClassSpec) -> nn.Module:
        """See `segcore.losses.loss.Loss.build`."""
        return WeightedLoss(self.weight, DiceCe().build(classes))


class WeightedLoss(nn.Module):
    """The module of `Weighted`."""

    def __init__(self, weight: float, inner: nn.Module) -> None:
        super().__init__()
        self._weight, self._inner = weight, inner

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar."""
        value: Tensor = self._weight * self._inner(prediction, batch)
        return value


@SYSTEMS.register(
    "wide_net",
    "a small network of inputs that are wider than high",
    lacks=("queries and values",),
)
@dataclass(frozen=True, kw_only=True, config=STRICT)
class WideNetConfig(SystemConfig):
    """Two convolutions, and a linear map of their features."""

    height: int = 32
    width: int = 48
    channels: int = 8
    loss: Loss = field(default_factory=Weighted)

    @property
    def input_size(self) -> Size:
        """Not square."""
        return self.height, self.width

    @property
    def takes_prompts(self) -> bool:
        """Boxes are a channel of its input."""
        return True

    def check_weights(self) -> None:
        """There are none."""

    def build(self, classes: ClassSpec) -> "WideNet":
        """From the global RNG."""
        return WideNet(self, classes)


class WideNet(System):
    """Image and box in, logits and uncertainty out."""

    def __init__(self, config: WideNetConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config, channels = config, config.channels
        self._loss = config.loss.build(classes)
        self.encoder = nn.Sequential(nn.Conv2d(4, channels, 3, padding=1), nn.ReLU())
        self.mix = nn.Linear(channels, channels)
        self.head = nn.Conv2d(channels, len(classes.names), 3, padding=1)

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Logits of any size."""
        image = resize(batch.image_B3HW, self._config.input_size)
        box = box_channel(batch.prompts, image)
        features = self.encoder(torch.cat((image, box), dim=1))
        features = features + self.mix(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        native = self.head(features)
        shares = native.softmax(1)
        maps = {} if self.training else {"uncertainty": 1 - shares.amax(1, keepdim=True)}
        return Prediction(logits_at(native, size), {"native": native}, maps)

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured one."""
        value: Tensor = self._loss(prediction, batch)
        return value

    def parts(self) -> Mapping[str, Part]:
        """The encoder is trained at half the rate by every method."""
        return {
            "encoder": Part(self.encoder, "tuned", rate=0.5),
            "mix": Part(self.mix, "pretrained"),
            "head": Part(self.head, "head"),
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """The one linear map."""
        return {"mix": self.mix}

    def weights_hash(self) -> str:
        """Nothing is loaded."""
        return "none"


def box_channel(prompts: Prompts | None, image_B3HW: Tensor) -> Tensor:
    """1 inside of the box of each image, (B, 1, H, W)."""
    count, _, height, width = image_B3HW.shape
    channel = torch.zeros(count, 1, height, width, device=image_B3HW.device)
    if prompts is None:
        return channel
    for i, (box, present) in enumerate(
        zip(prompts.boxes_BN4[:, 0].tolist(), prompts.present_BN[:, 0].tolist(), strict=True)
    ):
        if present:
            x0, y0, x1, y1 = box
            rows = slice(round(y0 * height), round(y1 * height))
            channel[i, 0, rows, round(x0 * width) : round(x1 * width)] = 1
    return channel


@RGB_ENCODERS.register("little_vit", "one block of a transformer on patches of 16 pixels")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class LittleVitConfig(RgbEncoderConfig):
    """An encoder of one's own for the dual encoder."""

    pretrained: Pretrained = "random"
    checkpoint: str | None = None
    hub: str | None = None
    channels: int = 32

    @property
    def width(self) -> int:
        """The block's own."""
        return self.channels

    @property
    def size_multiple(self) -> int:
        """A patch's."""
        return 16

    def build(self, side: int) -> "LittleVit":
        """From the global RNG."""
        return LittleVit(self.channels)


class LittleVit(RgbEncoder):
    """Patches, one block, and its map enlarged to the finer strides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 16, stride=16)
        self.blocks = nn.ModuleList([Block(channels, num_heads=4)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, image_B3HW: Tensor) -> tuple[Levels, Levels]:
        """The same features at every stride, and no position codes."""
        map_BChw = self.patches(image_B3HW)
        tokens_BLC = map_BChw.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens_BLC = block(tokens_BLC)
        coarse = self.norm(tokens_BLC).transpose(1, 2).reshape(map_BChw.shape)
        levels = {s: nn.functional.interpolate(coarse, scale_factor=16 // s) for s in STRIDES}
        return levels, {s: torch.zeros_like(level[:1]) for s, level in levels.items()}


@METHODS.register(
    "mix_only",
    "the linear map moves, at the head's rate",
    needs={"layers to adapt": "use frozen"},
)
@dataclass(frozen=True, kw_only=True, config=STRICT)
class MixOnly(Method):
    """A method of one's own."""

    lr: float = 1e-2

    def adapt(self, system: System) -> None:
        """Let the targets move."""
        freeze_pretrained(system)
        for module in system.adaptable("attention").values():
            module.requires_grad_(True)

    def optimizer(self, system: System, optim: OptimConfig) -> torch.optim.Optimizer:
        """AdamW on all that moves."""
        targets = [p for m in system.adaptable("attention").values() for p in m.parameters()]
        return adamw([*head_groups(system, optim), {"params": targets, "lr": self.lr}], optim)


@TRANSFORMS.register("shadow", "one side of the image is darker")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shadow(Transform):
    """A transform of one's own."""

    darkest: float = 0.3
    """Share of the light that the darker side loses at most."""

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Darker to the left."""
        left = 1 - self.darkest * rng.uniform()
        light = np.linspace(left, 1, sample.labels_HW.shape[1])[:, None]
        return replace(sample, image_HW3=(sample.image_HW3 * light).astype(np.uint8))


def error(pair: Pair) -> float:
    """Mean distance between the probability and the truth."""
    assert pair.probability is not None
    return float(np.abs(pair.probability - pair.truth).mean())


def dice_by_threshold(pair: Pair) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Dice at each of nine thresholds of the probability."""
    assert pair.probability is not None
    curve = []
    for threshold in np.arange(0.1, 1, 0.1):
        mask = pair.probability > threshold
        total = int(mask.sum()) + int(pair.truth.sum())
        curve.append(2 * int((mask & pair.truth).sum()) / max(1, total))
    return np.array(curve)


METRICS.register("error.mean", "mean distance of probability and truth")(
    Metric(
        name="error",
        protocol="mean",
        direction="minimize",
        label="Error",
        unit="share",
        compute=error,
        needs="probabilities",
    )
)
METRICS.register("best_dice.set", "Dice at the threshold that is best for the whole set")(
    Metric(
        name="best_dice",
        protocol="set",
        direction="maximize",
        label="Best Dice",
        unit="fraction",
        compute=dice_by_threshold,
        needs="probabilities",
        reduce=lambda curves: float(np.stack([*curves]).mean(axis=0).max()),
    )
)


def training() -> TrainConfig:
    """Six epochs of a second each."""
    return TrainConfig(
        data=Ellipses(),
        system=WideNetConfig(),
        method=MixOnly(),
        optim=OptimConfig(lr=2e-2),
        schedule=Schedule(epochs=3, batch_size=4, warmup_steps=1),
        augment=Augment(flip=0.5, brightness=0.0, transforms=(Shadow(),)),
        prompts=PromptConfig(source="jittered"),
        evaluation=EvaluationConfig(size="image", select_on=("dice", "macro", "per_case")),
    )


def study() -> Ablation:
    """Whether the linear map has to move."""
    return Ablation(
        question="Does it matter that the linear map moves?",
        baseline=replace(training(), method=Method.named("frozen")),
        baseline_arm="frozen",
        arms={"mix_only": {"method": "mix_only"}},
        seeds=(0,),
    )
