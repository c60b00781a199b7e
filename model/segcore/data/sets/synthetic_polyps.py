"""`synthetic_polyps`: rendered scenes of polyps, masks beside images, read as any such folder."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from segcore.data.scenes import polyp_scene
from segcore.data.scenes.polyp_scene import DOMAINS, Patient
from segcore.data.scenes.rendered_masks import RenderedMasks
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticPolyps(RenderedMasks):
    """Procedural colonoscopy scenes with one polyp each, rendered on first use."""

    name: ClassVar[str] = "synthetic_polyps"
    version: ClassVar[int] = polyp_scene.VERSION
    class_name: ClassVar[str] = "polyp"

    def draw_patient(self, rng: np.random.Generator) -> Patient:
        """A patient: mucosa, polyp and camera. Those of `b` are another hospital's."""
        return polyp_scene.draw_patient(rng, DOMAINS[self.domain])

    def render(
        self, patient: Patient, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """An image of a patient and where the polyp is."""
        return polyp_scene.render(patient, rng, self.size)
