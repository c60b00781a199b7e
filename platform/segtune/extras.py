"""What not every installation has: the extras of segtune, and how to install one that is missing.

`pip install segtune` brings what reads, reports and verifies; `segtune[train]` adds torch, Ray and
the rest. Code imports what it needs where it needs it, and no command looks for an extra by itself:
the command line asks here why an import failed.
"""

import importlib.util

OFFERED = ("train", "figures", "onnx", "submit", "importance", "mlflow", "wandb")
"""Extras for users, what others contain first; the rest are for those who work on segtune."""
TRAINING = ("torch", "ray")
"""Modules, and distributions, without which nothing is trained."""
_DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "grpc": "grpcio",
    "hydra": "hydra-core",
    "mlflow": "mlflow-skinny",
    "pynvml": "nvidia-ml-py",
    "skimage": "scikit-image",
}
"""Module -> the distribution that brings it, where the two have different names."""


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'segtune[{extra}]'"


def lacking(error: BaseException) -> str | None:
    """What is to be installed, where an error goes back to a missing package of an extra.

    Args:
        error: looked at with what it was raised from: a study's file that can't be read, say,
            because it imports torch.

    Returns:
        A sentence with the package and the command; None where the error is about something else.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            extra = extra_of(cause.name)
            if extra is not None:
                return f"this needs {cause.name}, which is not installed: {install(extra)}"
        cause = cause.__cause__
    return None


def extra_of(module: str) -> str | None:
    """The extra that brings a top-level module; None where none does.

    A module below another has none: where it is missing, its package is there in a wrong version.
    """
    import importlib.metadata  # here, since `segtune --help` does without

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted = canonicalize_name(_DISTRIBUTIONS.get(module, module))
    required = map(Requirement, importlib.metadata.requires("segtune") or [])
    markers = [r.marker for r in required if canonicalize_name(r.name) == wanted and r.marker]
    bringing = (x for x in OFFERED if any(marker.evaluate({"extra": x}) for marker in markers))
    return next(bringing, None)


def without_training() -> str | None:
    """What this installation can't do, and what to install; None where it can train."""
    if all(importlib.util.find_spec(module) is not None for module in TRAINING):
        return None
    return (
        "This installation reads, reports and verifies. Studies, training, prediction, data and "
        f"clusters need torch, Ray and more: {install('train')}"
    )
