"""One training: `train(config, runtime)` yields one `Evaluation` after another.

`python -m segcore.train nano` trains on this machine, without Ray.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from segcore.config import TrainConfig
from segcore.training import checkpoint
from segcore.training.events import Evaluation
from segcore.training.loop import Training, TrainingDiverged
from segcore.training.runtime import Runtime, local_runtime

__all__ = ["TrainingDiverged", "train"]


def train(config: TrainConfig, runtime: Runtime) -> Iterator[Evaluation]:
    """Train, evaluating on val every so many epochs; test the best of them once, at the end.

    Goes on from `runtime.restore_from` with the same losses as an uninterrupted run: on a CPU to
    the last digit, on a GPU only with `config.deterministic`. Without it two runs on a GPU differ
    in their last digits, whether one of them was interrupted or not.

    Yields:
        One evaluation after each `config.evaluation.every` epochs, then the final one
        (`final=True`): the best epoch, by `config.evaluation.select_on`, with the scores of each
        image of val; where `runtime.test` also of test and the external set, at every resolution
        that is asked for.

    Raises:
        ValueError: the data folder, weights or checkpoint are not what they should be, or what is
            to be tested was trained or selected on.
        TrainingDiverged: the loss or the gradient is not finite. Every worker raises it.
    """
    training = Training(config, runtime)
    while not training.ended:
        yield training.advance()
    yield training.finish()


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
