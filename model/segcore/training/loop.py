"""The loop of one training, and the state that it carries from step to step."""

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segcore.batch import Batch, Progress
from segcore.config import TrainConfig, to_json
from segcore.data.loader import (
    epoch_order,
    loading_threads,
    on_device,
    shares,
    training_batches,
)
from segcore.metrics.aggregate import aggregate
from segcore.metrics.table import METRICS
from segcore.training import checkpoint
from segcore.training.averaging import RunningMean
from segcore.training.blocks import compile_blocks, recompute_blocks
from segcore.training.casts import spare_casts
from segcore.training.checkpoint import on_host
from segcore.training.costs import Stopwatch, forget_peak, memory
from segcore.training.evaluation import better
from segcore.training.events import Evaluation, Facts, Score, Seconds, Step
from segcore.training.microbatch import microbatch_size
from segcore.training.passes import passes
from segcore.training.runtime import Runtime, choose_kernels, device_name
from segcore.training.scoring import ScoredSplits


class TrainingDiverged(RuntimeError):
    """The loss or its gradient is no longer a number."""


class Training:
    """The state that a training carries from step to step."""

    def __init__(self, config: TrainConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        choose_kernels(runtime.device, deterministic=config.deterministic)
        self.dataset, self.external = config.open_data()
        torch.manual_seed(config.seed)
        self.system = config.system.build(self.dataset.classes)
        weights_hash = self.system.weights_hash()
        config.method.adapt(self.system)
        if config.gradient_checkpointing:
            recompute_blocks(self.system)
        if config.compile_blocks:
            compile_blocks(self.system)
        self.system.to(runtime.device)
        spare_casts(self.system, runtime.device, config.precision)
        classes = self.dataset.classes
        self.microbatch_size = microbatch_size(config, self.system, classes, runtime)
        forget_peak(runtime.device)
        self.updater = config.method.updater(self.system, config.optim)
        self.updater.join(runtime)
        self.optimizer = self.updater.optimizer
        self.passes = passes(self.system, self.updater, config, runtime)
        on_gpu = runtime.device.type == "cuda"
        self._sending = torch.cuda.Stream(runtime.device) if on_gpu else None
        self.peak_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.epoch = self.step = self.best_epoch = 0
        self.best_value = float("nan")
        """Of what selects, at the best epoch."""
        self.best_tensors: dict[str, Tensor] = {}
        decay = config.optim.ema
        self.mean = None if decay is None else RunningMean(self.system, decay)
        self.order = self.dataset.ids("train")
        self.total_steps = config.schedule.epochs * config.schedule.steps_per_epoch(len(self.order))
        self.splits = ScoredSplits(
            config, self.dataset, self.external, self.system, runtime, self.microbatch_size
        )
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
            microbatch_size=self.microbatch_size,
        )
        if runtime.restore_from is not None:
            self._restore(runtime.restore_from)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train: every epoch is done, or val has not become better
        for as long as `evaluation.patience` says."""
        evaluation = self.config.evaluation
        return self.epoch >= self.config.schedule.epochs or (
            self.epoch > 0 and evaluation.gives_up(self.epoch, self.best_epoch)
        )

    def advance(self) -> Evaluation:
        """Train up to the next evaluation, and evaluate on val."""
        epochs = self.config.schedule.epochs
        until = self.config.evaluation.next_after(self.epoch, epochs)
        steps: list[Step] = []
        while self.epoch < until:
            steps += self._train_epoch(self.epoch + 1)
            self.epoch += 1
        is_best, scores, value = self._look_at_val()
        return Evaluation(
            epoch=self.epoch,
            step=self.step,
            epochs=epochs,
            steps=tuple(steps),
            memory=memory(self.system, self.optimizer, self.runtime.device),
            scores=tuple(scores),
            checkpoint=lambda: self._checkpoint(self._last()),
            facts=self.facts,
            is_best=is_best,
            selection=value,
        )

    def _train_epoch(self, epoch: int) -> Iterator[Step]:
        """Visit every training sample once."""
        config = self.config
        order = epoch_order(len(self.order), seed=config.seed, epoch=epoch)
        batches = config.schedule.batches(order)
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
            for_gpu=self.runtime.device.type == "cuda",
            threads=loading_threads(self.runtime.cpus),
        )
        with closing(made), closing(on_device(made, self.runtime.device, self._sending)) as there:
            yield from (self._step(epoch, batch, there) for batch in batches)

    def _look_at_val(self) -> tuple[bool, Sequence[Score], float]:
        """Whether this epoch is the best one so far, its scores, and the value that decides."""
        with nullcontext() if self.mean is None else self.mean.in_place():
            images, _ = self.splits.val(draw=False)
            scores = aggregate(images)
            value = self._selection(scores)
            direction = METRICS[self.config.evaluation.selecting].load().direction
            is_best = not self.best_tensors or better(direction, value, self.best_value)
            if is_best:
                self.best_epoch, self.best_value = self.epoch, value
                self.best_tensors = checkpoint.trained_tensors(self.system)
        return is_best, scores, value

    def finish(self) -> Evaluation:
        """Put the best epoch back and look at it image by image; test it once.

        `scores` has test and external, at every size and by every protocol.
        """
        last = self._last() | {"tensors": checkpoint.trained_tensors(self.system)}
        checkpoint.restore_tensors(self.system, self.best_tensors)
        images, pictures = self.splits.val(draw=not self.runtime.test)
        scores: Sequence[Score] = ()
        if self.runtime.test:
            tested, pictures = self.splits.test()
            scores = aggregate(tested)
            images = images + tested
        return Evaluation(
            epoch=self.best_epoch,
            step=self.step,
            epochs=self.config.schedule.epochs,
            steps=(),
            memory=memory(self.system, self.optimizer, self.runtime.device),
            scores=tuple(scores),
            checkpoint=lambda: self._checkpoint(last),
            facts=self.facts,
            final=True,
            images=tuple(images),
            pictures=tuple(pictures),
        )

    def _share(self, batch: Sequence[int]) -> list[list[int]]:
        """This worker's microbatches of a global batch."""
        return shares(batch, self.runtime.world, self.microbatch_size)[self.runtime.rank]

    def _step(self, epoch: int, batch: Sequence[int], made: Iterator[Batch]) -> Step:
        """One optimizer step over a global batch, whose microbatches come next from `made`."""
        watch, sent_before = Stopwatch(self.runtime.device), self.runtime.sent_bytes
        lr_ratio = self.config.schedule.lr_ratio(self.step, self.total_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peak_lrs, strict=True):
            group["lr"] = peak * lr_ratio
        self.passes.clear()
        loss = self._accumulate(batch, made, watch)
        norm = self.updater.reduce_and_clip(loss, self.config.optim.clip_norm)
        watch.split("backward")
        self.updater.refresh()
        watch.split("refresh")
        self.optimizer.step()
        method = self.config.method
        method.after_step(self.system, self.optimizer, self.step + 1, self.total_steps)
        self.step += 1
        if self.mean is not None:
            self.mean.add(self.step)
        watch.split("optimizer")
        # All that the host reads of a step, at once and last: until here it only launched.
        loss_value, norm_value = torch.stack([loss, norm]).tolist()
        for what, value in (("loss", loss_value), ("gradient's norm", norm_value)):
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"the {what} is {value} at step {self.step} (epoch {epoch}): "
                    "lower optim.lr or method.lr, or look at the data"
                )
        self.runtime.beat()
        return Step(
            step=self.step,
            epoch=epoch,
            loss=loss_value,
            lr=self.config.optim.lr * lr_ratio,
            gradient_norm=norm_value,
            images=len(batch),
            reduced_bytes=self.runtime.sent_bytes - sent_before,
            seconds=Seconds(**watch.seconds()),
        )

    def _accumulate(self, batch: Sequence[int], made: Iterator[Batch], watch: Stopwatch) -> Tensor:
        """Add up the gradients of this worker's share; its part of the batch's mean loss.

        Each microbatch counts by its samples, so that any division of a batch over microbatches
        and workers gives the same gradient.
        """
        runtime = self.runtime
        self.system.train()
        total = torch.zeros((), device=runtime.device)
        for indices in (share := self._share(batch)):
            samples = next(made)
            watch.split("data")
            if indices is share[-1]:
                self.updater.before_last_backward()
            total += self.passes.run(samples, self._progress(), len(indices) / len(batch), watch)
        return total

    def _progress(self) -> Progress:
        return Progress(self.step, self.total_steps, self.epoch + 1, self.config.schedule.epochs)

    def _selection(self, scores: Sequence[Score]) -> float:
        """The value on val that the best epoch is chosen by."""
        wanted = self.config.evaluation.select_on
        found = (s.value for s in scores if (s.metric, s.class_name, s.protocol) == wanted)
        return float(next(found))

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

    def _last(self) -> dict[str, Any]:
        device = self.runtime.device
        return {
            "tensors": checkpoint.changing(self.system),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "mean": None if self.mean is None else self.mean.tensors,
        }

    def _checkpoint(self, last: dict[str, Any]) -> checkpoint.Checkpoint:
        return checkpoint.Checkpoint(self._description(), self.best_tensors, on_host(last))

    def _restore(self, folder: Path) -> None:
        found = checkpoint.load(folder, self._description())
        checkpoint.restore_tensors(self.system, found.last["tensors"])
        self.optimizer.load_state_dict(found.last["optimizer"])
        self.epoch, self.step = found.last["epoch"], found.last["step"]
        self.best_epoch, self.best_value = found.last["best_epoch"], found.last["best_value"]
        self.best_tensors = dict(found.best)
        torch.set_rng_state(found.last["rng"])
        device_rng = found.last.get("device_rng")  # written on a CPU, there is none
        if device_rng is not None and self.runtime.device.type == "cuda":
            torch.cuda.set_rng_state(device_rng, self.runtime.device)
        if self.mean is not None:
            self.mean.restore(found.last["mean"])
