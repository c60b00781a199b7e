"""The splits that a training is scored on: val again and again, test and the external set once."""

import dataclasses
from dataclasses import dataclass

from segcore.config import TrainConfig
from segcore.data.dataset import Dataset
from segcore.systems.system import System
from segcore.training.events import ImageScore, Picture
from segcore.training.predicting import Target
from segcore.training.runtime import Runtime
from segcore.training.scoring import evaluate


@dataclass(frozen=True)
class ScoredSplits:
    """A system, and what it is scored on."""

    config: TrainConfig
    dataset: Dataset
    external: Dataset | None
    system: System
    runtime: Runtime
    microbatch_size: int | None
    """Most samples at once in training; None: a whole batch."""

    def val(self, *, draw: bool) -> tuple[list[ImageScore], list[Picture]]:
        """The scores of each image and case of val, and a few pictures if asked for."""
        return self._evaluate(self._target("val", test=False), draw=draw)

    def test(self) -> tuple[list[ImageScore], list[Picture]]:
        """Test and external, each at the usual resolution first, then at the others asked for."""
        images: list[ImageScore] = []
        pictures: list[Picture] = []
        for name in ("test", "external"):
            if name == "external" and self.external is None:
                continue
            usual = self._target(name, test=True)
            sizes = [s for s in self.config.evaluation.sizes() if s != usual.size]
            for size in (usual.size, *sizes):
                target = dataclasses.replace(usual, size=size)
                scored, drawn = self._evaluate(target, draw=size == usual.size)
                images += scored
                pictures += drawn
        return images, pictures

    def _target(self, name: str, *, test: bool) -> Target:
        """A split at the resolution at which every split is scored.

        Args:
            name: `val`, `test` or `external`.
            test: whether every metric is computed, those that take long too.
        """
        evaluation = self.config.evaluation
        data, dataset = self.config.data, self.dataset
        if name == "external":
            assert evaluation.external is not None
            assert self.external is not None
            data, dataset = evaluation.external, self.external
        return Target(
            dataset=dataset,
            split="val" if name == "val" else "test",
            name=name,
            size=None if evaluation.size == "image" else self.config.system.input_size,
            metrics=evaluation.rows(data, test=test),
        )

    def _evaluate(self, target: Target, *, draw: bool) -> tuple[list[ImageScore], list[Picture]]:
        schedule, chosen = self.config.schedule, self.config.evaluation.batch_size
        batch_size = chosen or self.microbatch_size or schedule.batch_size
        return evaluate(
            self.system,
            target,
            self.runtime,
            input_size=self.config.system.input_size,
            batch_size=batch_size,
            precision=self.config.precision,
            prompts=self.config.boxes,
            tta=self.config.evaluation.tta,
            draw=draw,
        )
