"""The tracking tools that a study can be logged to, by name."""

from collections.abc import Callable, Mapping, Sequence

from segtune.observers.tracking import Tracker
from segtune.results.storage import Storage


def make(names: Sequence[str], storage: Storage, study: str) -> list[Tracker]:
    """The tools of some names, each once.

    Raises:
        ModuleNotFoundError: a tool's client is not installed.
        ValueError: a tool can't be set up.
    """
    return [_MAKERS[name](storage, study) for name in dict.fromkeys(names)]


def _tensorboard(storage: Storage, study: str) -> Tracker:
    from segtune.observers.tensorboard import TensorBoardTracker

    return TensorBoardTracker(storage, study)


def _mlflow(storage: Storage, study: str) -> Tracker:
    from segtune.observers.mlflow import MLflowTracker

    return MLflowTracker(study)


def _wandb(storage: Storage, study: str) -> Tracker:
    from segtune.observers.wandb import WandbTracker

    return WandbTracker(storage, study)


_MAKERS: Mapping[str, Callable[[Storage, str], Tracker]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
