"""`Predictor`: images in, masks out, from a checkpoint and nothing else.

Shape suffixes: B batch, K classes, H W an image's own size, S side of the network's input.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch, Prompts, Size
from segcore.classes import ClassSpec
from segcore.data.pixels import DepthRange, Shrinking, resized
from segcore.data.prompts import ImageBoxes, PromptConfig, are_by_class, given_boxes, stack_boxes
from segcore.metrics.metric import Needs
from segcore.systems.system import SystemConfig
from segcore.systems.weights import from_hub
from segcore.training.casts import spare_casts
from segcore.training.checkpoint import BEST, CONFIG
from segcore.training.costs import Stopwatch
from segcore.training.ensemble import Ensemble, Network, network_of
from segcore.training.inference import Masks, by_size, infer, masks
from segcore.training.restore import restore
from segcore.training.runtime import Precision, choose_device
from segcore.training.tta import TtaConfig

STAGES = ("preprocess", "network", "post")
"""Of a prediction, in their order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Predicted(Masks):
    """What a network says of one image, at the image's own size."""

    classes: ClassSpec
    """Of the labels."""
    depth_HW: NDArray[np.uint8] | None = None
    """The depth map that the network saw, larger is farther; None where it needs none."""

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a class is, (H, W).

        Raises:
            ValueError: no such class.
        """
        return self.classes.mask(self.labels_HW, name)


@dataclass
class Predictor:
    """A trained network, or several asked together, on a device, ready for images of any size.

    Called with images, it gives a prediction of each:

        predictor = Predictor.load(Path("results/demo/train/lora-s0"))
        (predicted,) = predictor([image_HW3], [depth_HW])
        predicted.mask("ridge")
    """

    system: Network
    config: SystemConfig
    """Of the system: what it looks at, and at which size."""
    classes: ClassSpec
    device: torch.device
    precision: Precision
    window: tuple[float, float] | None = None
    """The values of a volume that it was trained to see as black and white; None: it was trained
    on pictures."""
    tta: TtaConfig = field(default_factory=TtaConfig)
    """How often the network sees each image."""
    prompts: PromptConfig = field(default_factory=PromptConfig)
    """The boxes that it was trained with."""
    shrinking: Shrinking = "area"
    """How the images that it was trained on were made smaller."""
    depth_range: DepthRange | None = None
    """Of the depth maps that it was trained on, where they had 16 bits."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Spent so far in each of the stages."""

    def __post_init__(self) -> None:
        # Images come with their channels last, and convolutions are quicker that way.
        self.system = self.system.eval().to(self.device).to(memory_format=torch.channels_last)
        spare_casts(self.system, self.device, self.precision)

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        *others: Path,
        device: str | None = None,
        precision: Precision | None = None,
        locations: Mapping[str, str] | None = None,
        tta: TtaConfig | None = None,
    ) -> Self:
        """The best network of a training, or those of several, whose probabilities are averaged.

        Args:
            checkpoint: a checkpoint folder, or a trial's folder in a study's results.
            others: further ones, of the same system and classes.
            device: such as `cpu`, `cuda` or `cuda:1`; default: a GPU where there is one.
            precision: of the network; default: that which it was trained and scored with.
            locations: where pretrained weights lie, as for `segcore.training.restore.restore`.
            tta: how often the network sees each image; default: as often as when it was scored.

        Raises:
            ValueError: no such device, no checkpoint, weights that do not fit it, or networks that
                can't be averaged.
        """
        chosen = choose_device(device)
        members = []
        for path in (checkpoint, *others):
            one = restore(path, locations)
            one = replace(one, precision=precision or one.precision, tta=tta or one.tta)
            members.append((str(path), one))
        _, restored = members[0]
        return cls(
            system=network_of(members),
            config=restored.config,
            classes=restored.classes,
            device=chosen,
            precision=restored.precision,
            window=restored.window,
            tta=restored.tta,
            prompts=restored.prompts,
            shrinking=restored.shrinking,
            depth_range=restored.depth_range,
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        locations: Mapping[str, str] | None = None,
        tta: TtaConfig | None = None,
    ) -> Self:
        """A network that `segtune publish` wrote.

        Args:
            name: its folder, or its name on the Hugging Face hub, from where it is downloaded
                unless the hub's cache has it. No code is ever taken from there.
            device: as for `load`.
            precision: alike.
            locations: alike.
            tta: alike.

        Raises:
            ValueError: as `load`, and where the hub has no such model or cannot be reached.
        """
        folder = Path(name)
        if not folder.is_dir():
            try:
                folder = from_hub(str(name), (BEST, CONFIG))
            except ValueError as error:
                raise ValueError(f"{name} is no folder here, and: {error}") from error
        return cls.load(folder, device=device, precision=precision, locations=locations, tta=tta)

    @property
    def size(self) -> Size:
        """Of the images that the network sees."""
        return self.config.input_size

    @property
    def networks(self) -> int:
        """How many are averaged."""
        return len(self.system.members) if isinstance(self.system, Ensemble) else 1

    @property
    def takes_prompts(self) -> bool:
        """Whether boxes tell the network anything."""
        return self.config.takes_prompts

    @property
    def needs_depth(self) -> bool:
        """Whether every image must come with a depth map."""
        return self.config.needs_depth

    def __call__(
        self,
        images: Sequence[NDArray[np.uint8]],
        depths: Sequence[NDArray[np.uint8]] | None = None,
        boxes: Sequence[ImageBoxes | None] | None = None,
        *,
        probabilities: bool = False,
    ) -> list[Predicted]:
        """Predict one batch.

        Args:
            images: RGB (H, W, 3), of any sizes.
            depths: a map (H, W) of each, larger is farther; needed where `needs_depth`.
            boxes: prompts of each, in its own pixels; for systems that take them.
            probabilities: whether probabilities are handed out beside labels.

        Raises:
            ValueError: an array of another form, or a missing depth map; all of them.
        """
        used = self._check(images, depths, boxes)
        if not images:
            return []
        watch = Stopwatch(self.device)
        batch = self._batch(images, used, self._prompts(images, boxes), self.size)
        watch.split("preprocess")
        sizes = by_size(image.shape for image in images)
        predicted: dict[int, Predicted] = {}
        for size, places in sizes.items():
            part = batch if len(sizes) == 1 else batch.take(places)
            prediction = infer(
                self.system,
                self._read_at(
                    part,
                    [images[i] for i in places],
                    None if used is None else [used[i] for i in places],
                ),
                size,
                input_size=self.size,
                classes=self.classes,
                tta=self.tta,
                device=self.device,
                precision=self.precision,
            )
            watch.split("network")
            also: tuple[Needs, ...] = ("probabilities",) if probabilities else ()
            found = masks(prediction, self.classes, also=also)
            for place, said in zip(places, found, strict=True):
                predicted[place] = Predicted(
                    said.labels_HW,
                    said.probabilities_KHW,
                    said.maps,
                    classes=self.classes,
                    depth_HW=None if used is None else used[place],
                )
            watch.split("post")
        for stage, seconds in watch.seconds().items():
            self.seconds[stage] += seconds
        return [predicted[i] for i in range(len(images))]

    def _check(
        self,
        images: Sequence[NDArray[np.uint8]],
        depths: Sequence[NDArray[np.uint8]] | None,
        boxes: Sequence[ImageBoxes | None] | None,
    ) -> Sequence[NDArray[np.uint8]] | None:
        """The depth maps that the network will see."""
        faults = [
            f"image {i} is {image.dtype} {image.shape}: give RGB (H, W, 3) of uint8"
            for i, image in enumerate(images)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3
        ]
        if self.needs_depth and depths is None:
            faults.append("the network looks at depth maps: give one per image")
        if depths is not None:
            if len(depths) != len(images):
                faults.append(f"{len(depths)} depth maps for {len(images)} images")
            faults += [
                f"depth map {i} is {depth.dtype} {depth.shape}: give (H, W) of uint8"
                for i, depth in enumerate(depths)
                if depth.dtype != np.uint8 or depth.ndim != 2
            ]
        if boxes is not None and not self.takes_prompts:
            faults.append("the network looks at no boxes: leave them out")
        if boxes is not None and len(boxes) != len(images):
            faults.append(f"boxes of {len(boxes)} images for {len(images)} images")
        if faults:
            raise ValueError("\n".join(faults))
        return depths if self.needs_depth else None

    def _read_at(
        self,
        batch: Batch,
        images: Sequence[NDArray[np.uint8]],
        depths: Sequence[NDArray[np.uint8]] | None,
    ) -> Callable[[Size], Batch]:
        """A batch of the network's size, and the same images at any other."""

        def batch_at(size: Size) -> Batch:
            if size == self.size:
                return batch
            return self._batch(images, depths, batch.prompts, size)

        return batch_at

    def _batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        depths: Sequence[NDArray[np.uint8]] | None,
        prompts: Prompts | None,
        size: Size,
    ) -> Batch:
        image_BHW3 = np.stack([resized(image, size, self.shrinking) for image in images])
        depth_B1HW = None
        if depths is not None:
            depth_B1HW = self._unit(
                np.stack([resized(d, size, self.shrinking) for d in depths])[:, None]
            )
        names = tuple(str(i) for i in range(len(images)))
        return Batch(
            image_B3HW=self._unit(image_BHW3).permute(0, 3, 1, 2),
            target_BKHW=torch.empty(len(images), len(self.classes.names), 0, 0),
            sample_ids=names,
            patient_ids=names,
            depth_B1HW=depth_B1HW,
            prompts=prompts,
        )

    def _prompts(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes: Sequence[ImageBoxes | None] | None,
    ) -> Prompts | None:
        if boxes is None:
            return None
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        by_class = are_by_class(boxes)
        if all(given is None for given in boxes):
            by_class = self.prompts.per == "class"
        found = [
            given_boxes(given, size, self.classes, by_class=by_class)
            for given, size in zip(boxes, sizes, strict=True)
        ]
        return stack_boxes(found)

    def _unit(self, array: NDArray[np.uint8]) -> Tensor:
        """On the device, from [0, 255] to [0, 1]."""
        return torch.from_numpy(array).to(self.device).float() / 255
