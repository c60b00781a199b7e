"""The loop of one training, and the state that it carries from step to step."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segcore.batch import Batch, Progress
from segcore.config import TrainConfig, to_json
from segcore.data.loader import epoch_order, shares, training_batches
from segcore.metrics.aggregate import aggregate
from segcore.metrics.table import METRICS
from segcore.training import checkpoint
from segcore.training.checkpoint import Checkpoint
from segcore.training.costs import Stopwatch, memory
from segcore.training.evaluation import better
from segcore.training.events import Evaluation, Facts, ImageScore, Picture, Score, Seconds, Step
from segcore.training.runtime import Runtime, autocast, device_name
from segcore.training.scoring import Target, evaluate


class TrainingDiverged(RuntimeError):
    """The loss or its gradient is no longer a number."""


class Training:
    """The state that a training carries from step to step."""

    def __init__(self, config: TrainConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.dataset, self.external = config.open_data()
        torch.manual_seed(config.seed)
        self.system = config.system.build(self.dataset.classes)
        weights_hash = self.system.weights_hash()
        config.method.adapt(self.system)
        self.system.to(runtime.device)
        self.updater = config.method.updater(self.system, config.optim)
        self.optimizer = self.updater.optimizer
        self.peak_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.epoch = self.step = self.best_epoch = 0
        self.best_value = float("nan")
        """Of what selects, at the best epoch."""
        self.best_tensors: dict[str, Tensor] = {}
        self.order = self.dataset.ids("train")
        self.total_steps = config.schedule.epochs * config.schedule.steps_per_epoch(len(self.order))
        self.facts = Facts(
            trainable_parameters=sum(p.numel() for p in self.updater.trained),
            total_parameters=sum(p.numel() for p in self.system.parameters()),
            weights_hash=weights_hash,
            data_hash=self._data_hash(),
            device=device_name(runtime.device),
            train_images=len(self.order),
            resolution=config.evaluation.resolution(config.system.input_size),
            adapted_lr=config.method.rate(config.optim),
            prompts=config.prompts.source,
        )
        if runtime.restore_from is not None:
            self._restore(runtime.restore_from)

    def run_epoch(self, epoch: int) -> Evaluation:
        """Visit every training sample once, then evaluate on val."""
        config, schedule = self.config, self.config.schedule
        order = epoch_order(len(self.order), seed=config.seed, epoch=epoch)
        batches = schedule.batches(order)
        microbatches = [indices for batch in batches for indices in self._share(batch)]
        made = training_batches(
            self.dataset,
            microbatches,
            config.system.input_size,
            config.augment,
            config.seed,
            epoch,
            prompts=config.boxes,
            remembers=self.system.remembers,
        )
        with closing(made):
            steps = tuple(self._step(epoch, batch, made) for batch in batches)
        self.epoch = epoch
        images, _ = self._evaluate(self._target("val", test=False), draw=False)
        scores = aggregate(images)
        value = self._selection(scores)
        direction = METRICS[config.evaluation.selecting].load().direction
        is_best = not self.best_tensors or better(direction, value, self.best_value)
        if is_best:
            self.best_epoch, self.best_value = epoch, value
            self.best_tensors = checkpoint.trained_tensors(self.system)
        return Evaluation(
            epoch=epoch,
            step=self.step,
            epochs=schedule.epochs,
            steps=steps,
            memory=memory(self.system, self.optimizer, self.runtime.device),
            scores=tuple(scores),
            save=lambda folder: self._checkpoint().save(folder),
            facts=self.facts,
            is_best=is_best,
            selection=value,
        )

    def finish(self) -> Evaluation:
        """Put the best epoch back and look at it image by image; test it once.

        `scores` has test and external, at every size and by every protocol.
        """
        last = self._checkpoint()
        checkpoint.restore_tensors(self.system, self.best_tensors)
        val = self._target("val", test=False)
        images, pictures = self._evaluate(val, draw=not self.runtime.test)
        scores: Sequence[Score] = ()
        if self.runtime.test:
            tested, pictures = self._test()
            scores = aggregate(tested)
            images = images + tested
        return Evaluation(
            epoch=self.best_epoch,
            step=self.step,
            epochs=self.config.schedule.epochs,
            steps=(),
            memory=memory(self.system, self.optimizer, self.runtime.device),
            scores=tuple(scores),
            save=last.save,
            facts=self.facts,
            final=True,
            images=tuple(images),
            pictures=tuple(pictures),
        )

    def _share(self, batch: Sequence[int]) -> list[list[int]]:
        """This worker's microbatches of a global batch."""
        microbatch_size = self.config.schedule.microbatch_size
        return shares(batch, self.runtime.world, microbatch_size)[self.runtime.rank]

    def _step(self, epoch: int, batch: Sequence[int], made: Iterator[Batch]) -> Step:
        """One optimizer step over a global batch, whose microbatches come next from `made`."""
        watch, reduced_before = Stopwatch(self.runtime.device), self.runtime.reduced_bytes
        lr_ratio = self.config.schedule.lr_ratio(self.step, self.total_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peak_lrs, strict=True):
            group["lr"] = peak * lr_ratio
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._accumulate(batch, made, watch)
        norm = self.updater.reduce_and_clip(loss, self.runtime, self.config.optim.clip_norm)
        for what, value in (("loss", loss), ("gradient's norm", norm)):
            if not torch.isfinite(value):
                raise TrainingDiverged(
                    f"the {what} is {value.item()} at step {self.step + 1} (epoch {epoch}): "
                    "lower optim.lr or method.lr, or look at the data"
                )
        watch.split("backward")
        self.updater.refresh()
        watch.split("refresh")
        self.optimizer.step()
        method = self.config.method
        method.after_step(self.system, self.optimizer, self.step + 1, self.total_steps)
        watch.split("optimizer")
        self.step += 1
        self.runtime.beat()
        return Step(
            step=self.step,
            epoch=epoch,
            loss=loss.item(),
            lr=self.config.optim.lr * lr_ratio,
            gradient_norm=norm.item(),
            images=len(batch),
            reduced_bytes=self.runtime.reduced_bytes - reduced_before,
            seconds=Seconds(**watch.seconds),
        )

    def _accumulate(self, batch: Sequence[int], made: Iterator[Batch], watch: Stopwatch) -> Tensor:
        """Add up the gradients of this worker's share; its part of the batch's mean loss.

        Each microbatch counts by its samples, so that any division of a batch over microbatches
        and workers gives the same gradient.
        """
        config, runtime = self.config, self.runtime
        self.system.train()
        total = torch.zeros((), device=runtime.device)
        size, progress = config.system.input_size, self._progress()
        for indices in self._share(batch):
            samples = next(made).to(runtime.device)
            watch.split("data")
            with autocast(runtime.device, config.precision):
                prediction = self.system(samples, size, progress)
                loss = self.system.loss(prediction, samples, progress)
            loss = (loss + config.method.extra_loss(self.system)) * (len(indices) / len(batch))
            watch.split("forward")
            loss.backward()
            total += loss.detach()
            watch.split("backward")
        return total

    def _progress(self) -> Progress:
        return Progress(self.step, self.total_steps, self.epoch + 1, self.config.schedule.epochs)

    def _selection(self, scores: Sequence[Score]) -> float:
        """The value on val that the best epoch is chosen by."""
        metric, class_name, protocol = self.config.evaluation.select_on
        wanted = (metric, class_name, protocol)
        found = (s.value for s in scores if (s.metric, s.class_name, s.protocol) == wanted)
        return float(next(found))

    def _test(self) -> tuple[list[ImageScore], list[Picture]]:
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
        """The scores of each image and case of a target, and a few pictures if asked for."""
        return evaluate(
            self.system,
            target,
            self.runtime,
            input_size=self.config.system.input_size,
            batch_size=self.config.schedule.evaluation_batch,
            precision=self.config.precision,
            prompts=self.config.boxes,
            tta=self.config.evaluation.tta,
            draw=draw,
        )

    def _data_hash(self) -> str:
        if self.external is None:
            return self.dataset.content_hash()
        both = f"{self.dataset.content_hash()} {self.external.content_hash()}"
        return hashlib.sha256(both.encode()).hexdigest()

    def _description(self) -> dict[str, Any]:
        return {
            "config": to_json(self.config, locations=False),
            "classes": dataclasses.asdict(self.dataset.classes),
            "weights_hash": self.facts.weights_hash,
            "data_hash": self.facts.data_hash,
            "window": self.config.data.grey_window,
            "shrinking": self.config.data.shrinking,
            "depth_range": self.config.data.depth_values,
        }

    def _checkpoint(self) -> Checkpoint:
        last = {
            "tensors": checkpoint.trained_tensors(self.system),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "rng": torch.get_rng_state(),
        }
        return Checkpoint(self._description(), self.best_tensors, last)

    def _restore(self, folder: Path) -> None:
        found = checkpoint.load(folder, self._description())
        checkpoint.restore_tensors(self.system, found.last["tensors"])
        self.optimizer.load_state_dict(found.last["optimizer"])
        self.epoch, self.step = found.last["epoch"], found.last["step"]
        self.best_epoch, self.best_value = found.last["best_epoch"], found.last["best_value"]
        self.best_tensors = dict(found.best)
        torch.set_rng_state(found.last["rng"])
