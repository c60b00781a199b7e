"""Augmentation, seeded per sample and epoch; image, depth and mask move together.

What is drawn comes from generators of the sample's own; what is done is in `segcore.transforms`.
"""

import dataclasses
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo
from pydantic.dataclasses import dataclass
from torch import Tensor

from segcore.batch import Modality
from segcore.data.dataset import Sample
from segcore.registry import STRICT
from segcore.transforms import LARGEST_SHIFT, TRANSFORMS
from segcore.transforms.transform import Transform

LIBRARIES = ("segcore.transforms.geometry", "segcore.transforms.light")
Probability = Annotated[float, Field(ge=0, le=1)]
STRENGTHS: Mapping[str, tuple[str, ...]] = {
    "flip": ("flip_axis",),
    "rotate": ("rotate_degrees",),
    "elastic": ("elastic_shift",),
    "crop": ("crop_area", "crop_stretch"),
    "spots": ("spots_count", "spots_size"),
    "blur": ("blur_sigma",),
    "noise": ("noise_std",),
}
"""Probability -> the fields that say how much, and change nothing while it is 0."""


def _several(values: Any, info: ValidationInfo) -> Any:
    """Refuse what is no tuple: of one transform too there has to be one."""
    if not isinstance(values, list if info.mode == "json" else tuple):
        raise ValueError(f"write a tuple, {_EXAMPLES}; {_choices()}")
    return tuple(values)


def _row(value: Any) -> Any:
    """A transform that stands as its name, or as name and fields: a command line's, or YAML's."""
    fields = {"name": value} if isinstance(value, str) else value
    if isinstance(fields, Mapping) and isinstance(fields.get("name"), str):
        return TypeAdapter(Transform).validate_json(json.dumps(fields, default=str))
    if not isinstance(value, Transform):
        raise ValueError(
            f"give a transform by its name, or its name and fields, {_EXAMPLES}; {_choices()}"
        )
    return value


_EXAMPLES = 'such as ("smoke",) or ({"name": "smoke", "density": 0.4},)'


def _choices() -> str:
    return f"transforms are {', '.join(sorted(TRANSFORMS))}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """What may happen to a training sample, in the order of the fields below but for brightness,
    which comes first. Evaluation never augments.

    Lengths are shares of the shorter side, so that a setting means the same at every resolution.
    What has a probability is drawn for each sample and epoch by itself; contrast, saturation, hue
    and gamma are always drawn, as brightness is. Every part has a generator of its own: to add one
    changes nothing that the others draw.

    SRFT-GaLore's code (commit efcd190, and no other) has flip = 0.5 with flip_axis "either",
    rotate = 0.5 and brightness = 0. There the corners that a rotation leaves empty belong to no
    class at all; here they are background.
    """

    flip: Probability = 0.5
    """Probability of a flip."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest relative change of the image's brightness, either way."""
    flip_axis: Literal["horizontal", "either"] = "horizontal"
    """Left-right, or left-right and upside-down equally often."""
    rotate: Probability = 0.0
    """Probability of a rotation about the middle; what turns in from outside is black, and
    nearest (0) in depth."""
    rotate_degrees: Annotated[float, Field(gt=0, le=180)] = 15.0
    """Largest rotation, either way."""
    elastic: Probability = 0.0
    """Probability of a smooth deformation; nothing comes in from outside."""
    elastic_shift: Annotated[float, Field(gt=0, le=LARGEST_SHIFT)] = 0.03
    """Largest shift of a control point along an axis, share of the shorter side; more would fold
    tissue over itself."""
    crop: Probability = 0.0
    """Probability that a part of the image is enlarged to the size of the whole. Depth values stay
    as they are."""
    crop_area: tuple[
        Annotated[float, Field(gt=0, le=1)],
        Annotated[float, Field(gt=0, le=1)],
    ] = (0.4, 1.0)
    """Smallest and largest share of the image's area that is kept."""
    crop_stretch: Annotated[float, Field(ge=1, le=2)] = 4 / 3
    """The most that a crop stretches one axis against the other; 1: not at all."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest relative change of the image's contrast, either way."""
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest relative change of the image's saturation, either way."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest turn of the image's hues, share of the circle, either way."""
    gamma: Annotated[float, Field(ge=0, le=2)] = 0.0
    """The image's levels are raised to a power from 1 / (1 + gamma) to 1 + gamma."""
    spots: Probability = 0.0
    """Probability of specular reflections, as on wet tissue: white ellipses where light falls."""
    spots_count: Annotated[int, Field(ge=1, le=100)] = 12
    """The most there are in an image."""
    spots_size: Annotated[float, Field(gt=0, le=0.2)] = 0.03
    """Largest half axis, share of the shorter side."""
    blur: Probability = 0.0
    """Probability of a Gaussian blur of the image."""
    blur_sigma: Annotated[float, Field(gt=0, le=0.1)] = 0.01
    """Largest standard deviation of the Gaussian, share of the shorter side."""
    noise: Probability = 0.0
    """Probability of Gaussian noise in the image."""
    noise_std: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Largest standard deviation of the noise, share of white."""
    transforms: Annotated[
        tuple[Annotated[Transform, BeforeValidator(_row)], ...], BeforeValidator(_several)
    ] = ()
    """Further ones, rows of `TRANSFORMS`, a user's own among them; one after another."""

    def __post_init__(self) -> None:
        if faults := [*self._faults()]:
            raise ValueError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        usual = {f.name: f.default for f in dataclasses.fields(self)}
        for probability, strengths in STRENGTHS.items():
            for name in strengths:
                if getattr(self, probability) == 0 and getattr(self, name) != usual[name]:
                    yield f"{name} changes nothing while {probability} is 0: give both"
        least, most = self.crop_area
        if least > most:
            yield f"crop_area is (smallest, largest): give ({most}, {least})"
        if self.crop and least == self.crop_stretch == 1:
            yield "crop changes nothing: crop_area keeps the whole image, and crop_stretch is 1"

    def repeats(self, part: Modality) -> bool:
        """Whether a sample's image or depth only ever takes a few forms, each seen in many epochs:
        flips alone, and where it is the depth, what only the image is changed by."""
        if self.rotate or self.elastic or self.crop:
            return False
        if part == "image" and (self.brightness or [*self._of_light()]):
            return False
        return all(transform.repeats(part) for transform in self.transforms)

    def _of_light(self) -> Iterator[tuple[str, float, Callable[..., Tensor]]]:
        """What changes the image alone, beside brightness: the parts that are on, their
        probabilities, and functions of an image (3, H, W) and a generator."""
        from segcore.transforms import light  # torchvision: seconds, for those who train alone

        for name, change in (
            ("contrast", partial(light.contrasted, most=self.contrast)),
            ("saturation", partial(light.saturated, most=self.saturation)),
            ("hue", partial(light.hued, most=self.hue)),
            ("gamma", partial(light.gamma_corrected, most=self.gamma)),
        ):
            if getattr(self, name):
                yield name, 1.0, change
        for name, change in (
            ("spots", partial(light.spotted, count=self.spots_count, size=self.spots_size)),
            ("blur", partial(light.blurred, sigma=self.blur_sigma)),
            ("noise", partial(light.noisy, std=self.noise_std)),
        ):
            if probability := getattr(self, name):
                yield name, probability, change

    def apply(self, sample: Sample, *, seed: int, epoch: int, index: int) -> Sample:
        """The sample as this epoch sees it; the same arguments give the same sample."""
        from segcore.transforms import geometry, light

        # A change in the order of these draws changes every training.
        rng = np.random.default_rng((seed, epoch, index))
        gain = 1 + self.brightness * rng.uniform(-1, 1)
        sample = replace(sample, image_HW3=light.brightened(sample.image_HW3, gain))
        if rng.uniform() < self.flip:
            upside_down = self.flip_axis == "either" and rng.uniform() < 0.5
            sample = geometry.flipped(sample, upside_down=upside_down)
        if self.rotate and rng.uniform() < self.rotate:
            angle = self.rotate_degrees * rng.uniform(-1, 1)
            sample = geometry.rotated(sample, angle=angle)

        def own(name: str) -> np.random.Generator:
            return np.random.default_rng((seed, epoch, index, zlib.crc32(name.encode())))

        if self.elastic and (rng := own("elastic")).uniform() < self.elastic:
            sample = geometry.deformed(sample, rng, shift=self.elastic_shift)
        if self.crop and (rng := own("crop")).uniform() < self.crop:
            area, stretch = self.crop_area, self.crop_stretch
            sample = geometry.cropped(sample, rng, area=area, stretch=stretch)
        if parts := [*self._of_light()]:
            image_3HW = torch.from_numpy(sample.image_HW3).permute(2, 0, 1)
            for name, probability, change in parts:
                if (rng := own(name)).uniform() < probability:
                    image_3HW = change(image_3HW, rng)
            image_HW3 = np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy())
            sample = replace(sample, image_HW3=image_HW3)
        seen: Counter[str] = Counter()
        for transform in self.transforms:
            # By name, and of several of one name by their order.
            key = f"transforms.{transform.name}.{seen[transform.name]}"
            sample = transform.apply(sample, own(key))
            seen[transform.name] += 1
        return sample
