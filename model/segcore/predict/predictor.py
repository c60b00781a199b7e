"""`Predictor`: images in, masks out, from a checkpoint and nothing else.

Shape suffixes: B batch, K classes, H W an image's own size, S side of the network's input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, ClassSpec
from segcore.data.pixels import resized
from segcore.systems.system import System
from segcore.training.costs import Stopwatch
from segcore.training.restore import restore
from segcore.training.runtime import Precision, choose_device, device_precision

STAGES = ("preprocess", "network", "post")
"""Of a prediction, in their order."""


@dataclass(frozen=True)
class Predicted:
    """What a network says about one image, at the image's own size."""

    labels_HW: NDArray[np.uint8]
    """Class index per pixel where classes exclude one another, else bit k = class k."""
    classes: ClassSpec
    probabilities_KHW: NDArray[np.float32] | None = None
    """Of every class, the background included where there is one; only if asked for."""
    depth_HW: NDArray[np.uint8] | None = None
    """The depth map that the network saw, larger is farther; None where it needs none."""

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where a class is, (H, W).

        Raises:
            ValueError: no such class.
        """
        if name not in self.classes.names:
            raise ValueError(f"no class {name!r}: there are {', '.join(self.classes.names)}")
        k = self.classes.names.index(name)
        mask: NDArray[np.bool_] = (
            self.labels_HW == k if self.classes.exclusive else (self.labels_HW >> k) & 1 == 1
        )
        return mask


@dataclass
class Predictor:
    """A trained network on a device, ready for images of any size.

    predictor = Predictor.load(Path("results/demo/train/lora-s0"))
    (predicted,) = predictor([image_HW3], [depth_HW])
    predicted.mask("ridge")
    """

    system: System
    classes: ClassSpec
    size: int
    """Side of the square that the network sees, pixels."""
    device: torch.device
    precision: Precision
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Spent so far in each of the stages."""

    def __post_init__(self) -> None:
        # Images come with their channels last, and convolutions are quicker that way.
        self.system = self.system.eval().to(self.device).to(memory_format=torch.channels_last)

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        places: Mapping[str, str] | None = None,
    ) -> Self:
        """The best network of a training.

        Args:
            checkpoint: a checkpoint folder, or a trial's folder in a study's results.
            device: such as `cpu`, `cuda` or `cuda:1`; default: a GPU where there is one.
            precision: of the network; default: bfloat16 where a GPU computes in it.
            places: where pretrained weights lie, as for `segcore.training.restore.restore`.

        Raises:
            ValueError: no such device, no checkpoint, or weights that do not fit it.
        """
        chosen = choose_device(device)
        restored = restore(checkpoint, places)
        return cls(
            system=restored.system,
            classes=restored.classes,
            size=restored.config.image_size,
            device=chosen,
            precision=precision or device_precision(chosen),
        )

    @property
    def needs_depth(self) -> bool:
        """Whether every image must come with a depth map."""
        return self.system.needs_depth

    def __call__(
        self,
        images: Sequence[NDArray[np.uint8]],
        depths: Sequence[NDArray[np.uint8]] | None = None,
        *,
        probabilities: bool = False,
    ) -> list[Predicted]:
        """Predict one batch.

        Args:
            images: RGB (H, W, 3), of any sizes.
            depths: a map (H, W) of each, larger is farther; needed where `needs_depth`.
            probabilities: whether probabilities are handed out beside labels.

        Raises:
            ValueError: an array of another form, or a missing depth map; all of them.
        """
        used = self._check(images, depths)
        if not images:
            return []
        watch = Stopwatch(self.device)
        batch = self._batch(images, used)
        watch.split("preprocess")
        with torch.inference_mode():
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"
            ):
                logits_BKSS = self.system(batch, self.size).logits_BKhw
            watch.split("network")
            logits_BKSS = logits_BKSS.float()
            out = [
                self._predicted(logits_BKSS[i : i + 1], image.shape[:2], probabilities)
                for i, image in enumerate(images)
            ]
        predicted = [
            Predicted(labels, self.classes, shares, None if used is None else used[i])
            for i, (labels, shares) in enumerate(out)
        ]
        watch.split("post")
        for part, seconds in watch.seconds.items():
            self.seconds[part] += seconds
        return predicted

    def _check(
        self, images: Sequence[NDArray[np.uint8]], depths: Sequence[NDArray[np.uint8]] | None
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
        if faults:
            raise ValueError("\n".join(faults))
        return depths if self.needs_depth else None

    def _batch(
        self, images: Sequence[NDArray[np.uint8]], depths: Sequence[NDArray[np.uint8]] | None
    ) -> Batch:
        image_BSS3 = np.stack([resized(image, self.size) for image in images])
        depth_B1SS = None
        if depths is not None:
            depth_B1SS = self._unit(np.stack([resized(d, self.size) for d in depths])[:, None])
        names = tuple(str(i) for i in range(len(images)))
        return Batch(
            image_B3HW=self._unit(image_BSS3).permute(0, 3, 1, 2),
            target_BKHW=torch.empty(len(images), len(self.classes.names), 0, 0),
            sample_ids=names,
            patient_ids=names,
            depth_B1HW=depth_B1SS,
        )

    def _unit(self, array: NDArray[np.uint8]) -> Tensor:
        """On the device, from [0, 255] to [0, 1]."""
        return torch.from_numpy(array).to(self.device).float() / 255

    def _predicted(
        self, logits_1KSS: Tensor, shape: tuple[int, ...], probabilities: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Labels and, if asked for, probabilities of one image at its own size."""
        logits_1KHW = logits_1KSS
        if logits_1KSS.shape[-2:] != shape:
            logits_1KHW = F.interpolate(logits_1KSS, shape, mode="bilinear", align_corners=False)
        logits_KHW = logits_1KHW[0]
        if self.classes.exclusive:
            labels_HW = logits_KHW.argmax(0)
        else:
            bits_K11 = 2 ** torch.arange(len(logits_KHW), device=logits_KHW.device)[:, None, None]
            labels_HW = ((logits_KHW > 0) * bits_K11).sum(0)
        labels = labels_HW.to(torch.uint8).cpu().numpy()
        if not probabilities:
            return labels, None
        shares = logits_KHW.softmax(0) if self.classes.exclusive else logits_KHW.sigmoid()
        return labels, shares.cpu().numpy()
