"""What not every installation has: the extras of segtune, and how to install one that is missing.

`pip install segtune` brings what reads, reports and verifies; `segtune[train]` adds torch, Ray and
the rest. Code imports what it needs where it needs it, and no command looks for an extra by itself:
the command line asks here why an import failed.
"""

import importlib.util
import shlex

OFFERED = ("train", "figures", "onnx", "submit", "importance", "mlflow", "wandb")
"""Extras for users, what others contain first; the rest are for those who work on segtune."""
TRAINING = ("torch", "ray")
"""Modules, and distributions, without which nothing is trained."""
_OPTIMIZER = "srft-galore"
"""A distribution of its own, from the same tree, which these extras bring."""
_WITH_OPTIMIZER = ("train", "onnx", "submit")
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
    """The command that installs an extra.

    Where segtune was installed from a tree, the optimizer is taken from there too.
    """
    own = _tree_without_optimizer() if extra in _WITH_OPTIMIZER else None
    return shlex.join(["pip", "install", *([own] if own else []), f"segtune[{extra}]"])


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


def _tree_without_optimizer() -> str | None:
    """The optimizer's folder in the tree that segtune was installed from, if that is still there;
    None too where the optimizer is installed."""
    import importlib.metadata  # here, since `segtune --help` does without
    import json
    import urllib.parse
    import urllib.request
    from pathlib import Path

    try:
        importlib.metadata.distribution(_OPTIMIZER)
        return None
    except importlib.metadata.PackageNotFoundError:
        record = importlib.metadata.distribution("segtune").read_text("direct_url.json") or "{}"
    url = urllib.parse.urlparse(json.loads(record).get("url", ""))
    folder = Path(urllib.request.url2pathname(url.path), "model", "srft_galore")
    return str(folder) if url.scheme == "file" and folder.is_dir() else None
