"""`synthetic_aerial`: rendered fields with salient objects, masks beside the images."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from segcore.data.scenes import aerial_scene
from segcore.data.scenes.aerial_scene import DOMAINS, Place
from segcore.data.scenes.rendered_masks import RenderedMasks
from segcore.metrics.table import OF_SALIENCY
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticAerial(RenderedMasks):
    """Procedural fields seen from above with up to three objects, rendered on first use."""

    name: ClassVar[str] = "synthetic_aerial"
    version: ClassVar[int] = aerial_scene.VERSION
    class_name: ClassVar[str] = "salient"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of salient object detection."""
        return OF_SALIENCY

    def draw_patient(self, rng: np.random.Generator) -> Place:
        """A place: images of it show the same fields' colours, furrows and sun."""
        return aerial_scene.draw_place(rng, DOMAINS[self.domain])

    def render(
        self, patient: Place, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """An image of a place and where its objects are; a few have none."""
        return aerial_scene.render(patient, rng, self.size)
