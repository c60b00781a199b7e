"""One training: `train(config, runtime)` yields an `Evaluation` after each epoch.

`python -m segcore.train nano` trains on this machine, without Ray.
"""

import argparse
import dataclasses
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch
from segcore.config import TrainConfig, to_json
from segcore.data.dataset import Dataset, Sample, Split
from segcore.data.loader import epoch_order, shares, training_batches
from segcore.metrics import aggregate
from segcore.training import checkpoint
from segcore.training.checkpoint import Checkpoint
from segcore.training.costs import Stopwatch, memory
from segcore.training.events import Evaluation, Facts, ImageScore, Picture, Score, Seconds, Step
from segcore.training.runtime import Runtime, local_runtime
from segcore.training.scoring import draw_pictures, pictured, predict_labels, score_images


class TrainingDiverged(RuntimeError):
    """The loss or its gradient is no longer a number."""


def train(config: TrainConfig, runtime: Runtime) -> Iterator[Evaluation]:
    """Train, evaluating on val after each epoch; test the best epoch once, at the end.

    Goes on from `runtime.restore_from` with the same losses as an uninterrupted run.

    Yields:
        One evaluation per epoch, then the final one (`final=True`): the best epoch, by macro Dice
        on val, with the scores of each image; where `runtime.test` also on test and the external
        set, at every size that `config.evaluation` asks for.

    Raises:
        ValueError: the data folder, weights or checkpoint are not what they should be, or what is
            to be tested was trained or selected on.
        TrainingDiverged: the loss or the gradient is not finite. Every worker raises it.
    """
    training = Training(config, runtime)
    for epoch in range(training.epoch + 1, config.schedule.epochs + 1):
        yield training.run_epoch(epoch)
    yield training.finish()


class Training:
    """The state that a training carries from step to step."""

    def __init__(self, config: TrainConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.dataset, self.external = config.open_data()
        torch.manual_seed(config.seed)
        self.system = config.system.build(self.dataset.classes, config.loss)
        weights_hash = self.system.weights_hash()
        config.method.adapt(self.system)
        self.system.to(runtime.device)
        self.updater = config.method.updater(self.system, config.optim)
        self.optimizer = self.updater.optimizer
        self.peak_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.epoch = self.step = self.best_epoch = 0
        self.best_dice = float("-inf")
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
            resolution=config.system.image_size,
        )
        if runtime.restore_from is not None:
            self._restore(runtime.restore_from)

    def run_epoch(self, epoch: int) -> Evaluation:
        """Visit every training sample once, then evaluate on val."""
        config, schedule = self.config, self.config.schedule
        order = epoch_order(len(self.order), seed=config.seed, epoch=epoch)
        batches = [
            order[i : i + schedule.batch_size] for i in range(0, len(order), schedule.batch_size)
        ]
        microbatches = [indices for batch in batches for indices in self._share(batch)]
        size, augment, seed = config.system.image_size, config.augment, config.seed
        made = training_batches(
            self.dataset,
            microbatches,
            size,
            augment,
            seed,
            epoch,
            remembers=self.system.remembers,
        )
        with closing(made):
            steps = tuple(self._step(epoch, batch, made) for batch in batches)
        self.epoch = epoch
        scores = aggregate(self._predict("val", draw=False)[0])
        dice = next(s.value for s in scores if (s.metric, s.class_name) == ("dice", "macro"))
        is_best = not self.best_tensors or dice > self.best_dice
        if is_best:
            self.best_epoch, self.best_dice = epoch, float(dice)
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
        )

    def finish(self) -> Evaluation:
        """Put the best epoch back and look at it image by image; test it once.

        `scores` has test and external, at every size and by every protocol.
        """
        last = self._checkpoint()
        checkpoint.restore_tensors(self.system, self.best_tensors)
        images, pictures = self._predict("val", draw=not self.runtime.test)
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

    def _share(self, batch: list[int]) -> list[list[int]]:
        """This worker's microbatches of a global batch."""
        microbatch_size = self.config.schedule.microbatch_size
        return shares(batch, self.runtime.world, microbatch_size)[self.runtime.rank]

    def _step(self, epoch: int, batch: list[int], made: Iterator[Batch]) -> Step:
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
            lr=self.optimizer.param_groups[0]["lr"],
            images=len(batch),
            reduced_bytes=self.runtime.reduced_bytes - reduced_before,
            seconds=Seconds(**watch.seconds),
        )

    def _accumulate(self, batch: list[int], made: Iterator[Batch], watch: Stopwatch) -> Tensor:
        """Add up the gradients of this worker's share; its part of the batch's mean loss.

        Each microbatch counts by its samples, so that any division of a batch over microbatches
        and workers gives the same gradient.
        """
        config, runtime = self.config, self.runtime
        self.system.train()
        total = torch.zeros((), device=runtime.device)
        size = config.system.image_size
        for indices in self._share(batch):
            samples = next(made).to(runtime.device)
            watch.split("data")
            with torch.autocast(
                runtime.device.type, torch.bfloat16, enabled=runtime.precision == "bfloat16"
            ):
                prediction = self.system(samples, size)
                progress = self.step / self.total_steps
                loss = self.system.loss(prediction, samples, progress)
            loss = (loss + config.method.extra_loss(self.system)) * (len(indices) / len(batch))
            watch.split("forward")
            loss.backward()
            total += loss.detach()
            watch.split("backward")
        return total

    def _test(self) -> tuple[list[ImageScore], list[Picture]]:
        """Test and external, each at the system's size first, then at the others asked for."""
        own = self.config.system.image_size
        sizes = [own, *(r for r in self.config.evaluation.resolutions if r != own)]
        images: list[ImageScore] = []
        pictures: list[Picture] = []
        for name, dataset in (("test", self.dataset), ("external", self.external)):
            if dataset is None:
                continue
            for size in sizes:
                scored, drawn = self._predict(
                    "test",
                    draw=size == own,
                    dataset=dataset,
                    name=name,
                    resolution=size,
                    every_protocol=True,
                )
                images += scored
                pictures += drawn
        return images, pictures

    def _predict(
        self,
        split: Split,
        *,
        draw: bool,
        dataset: Dataset | None = None,
        name: str | None = None,
        resolution: int | None = None,
        every_protocol: bool = False,
    ) -> tuple[list[ImageScore], list[Picture]]:
        """The scores of each image of a split, and a few pictures if asked for.

        `dataset` is the training's own, `name` the split's and `resolution` the system's size
        unless given.
        """
        schedule = self.config.schedule
        dataset = dataset or self.dataset
        predictions = predict_labels(
            self.system,
            dataset,
            split,
            self.config.system.image_size,
            schedule.microbatch_size or schedule.batch_size,
            self.runtime,
            resolution=resolution,
        )
        chosen = pictured(dataset, split) if draw else set()
        kept: list[tuple[Sample, NDArray[np.uint8]]] = []

        def passing() -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
            """All go on to be scored, and few are kept: a split may be larger than memory."""
            for sample, labels_HW in predictions:
                if sample.sample_id in chosen:
                    kept.append((sample, labels_HW))
                yield sample, labels_HW

        images = score_images(
            passing(), dataset, split, self.runtime, name=name, every_protocol=every_protocol
        )
        if not draw:
            return images, []
        return images, draw_pictures(kept, dataset, split, self.runtime, name=name)

    def _data_hash(self) -> str:
        if self.external is None:
            return self.dataset.content_hash()
        both = f"{self.dataset.content_hash()} {self.external.content_hash()}"
        return hashlib.sha256(both.encode()).hexdigest()

    def _description(self) -> dict[str, Any]:
        return {
            "config": to_json(self.config, places=False),
            "classes": dataclasses.asdict(self.dataset.classes),
            "weights_hash": self.facts.weights_hash,
            "data_hash": self.facts.data_hash,
        }

    def _checkpoint(self) -> Checkpoint:
        last = {
            "tensors": checkpoint.trained_tensors(self.system),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_dice": self.best_dice,
            "rng": torch.get_rng_state(),
        }
        return Checkpoint(self._description(), self.best_tensors, last)

    def _restore(self, folder: Path) -> None:
        found = checkpoint.load(folder, self._description())
        checkpoint.restore_tensors(self.system, found.last["tensors"])
        self.optimizer.load_state_dict(found.last["optimizer"])
        self.epoch, self.step = found.last["epoch"], found.last["step"]
        self.best_epoch, self.best_dice = found.last["best_epoch"], found.last["best_dice"]
        self.best_tensors = dict(found.best)
        torch.set_rng_state(found.last["rng"])


def device_name(device: torch.device) -> str:
    """The device as a person knows it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main(argv: list[str] | None = None) -> int:
    """Train a preset on this machine; print a line per epoch."""
    from segcore import presets
    from segcore.methods import METHODS
    from segcore.methods.method import Method

    parser = argparse.ArgumentParser(prog="python -m segcore.train", description=main.__doc__)
    parser.add_argument("preset", choices=["nano"])
    parser.add_argument("--method", choices=sorted(METHODS), default="srft_galore")
    parser.add_argument("--epochs", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="checkpoint folder; an old one is gone on from")
    args = parser.parse_args(argv)
    restore_from = args.out if args.out and (args.out / checkpoint.LAST).exists() else None
    try:
        nano = presets.nano()
        schedule = dataclasses.replace(nano.schedule, epochs=args.epochs)
        config = dataclasses.replace(
            nano, method=Method.named(args.method), seed=args.seed, schedule=schedule
        )
        for evaluation in train(config, local_runtime(restore_from=restore_from)):
            print(_line(evaluation), flush=True)
            if args.out:
                _save(evaluation, args.out)
    except (ValueError, TrainingDiverged) as error:
        print(f"segcore.train: {error}", file=sys.stderr)
        return 2
    return 0


def _line(e: Evaluation) -> str:
    if e.final:
        return (
            f"best epoch {e.epoch}: test Dice {e.score('dice', split='test'):.3f}, "
            f"ASSD {e.score('assd', split='test'):.2f} px"
        )
    seconds = sum(sum(vars(s.seconds).values()) for s in e.steps)
    return (
        f"epoch {e.epoch}/{e.epochs}: loss {sum(s.loss for s in e.steps) / len(e.steps):.3f}, "
        f"val Dice {e.score('dice'):.3f}, ASSD {e.score('assd'):.2f} px, {seconds:.1f} s"
    )


def _save(evaluation: Evaluation, folder: Path) -> None:
    """Write beside the old checkpoint, file by file renamed into place."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        evaluation.save(Path(unfinished))
        for name in (checkpoint.BEST, checkpoint.CONFIG, checkpoint.LAST):  # `last` counts
            (Path(unfinished) / name).replace(folder / name)


if __name__ == "__main__":
    raise SystemExit(main())
