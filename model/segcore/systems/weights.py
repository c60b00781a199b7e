"""Pretrained tensors: where they come from, that they fit, and what they hash to."""

import hashlib
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

Pretrained = Literal["packaged", "random", "checkpoint", "hub"]
"""`packaged`: this project's own small weights; `checkpoint`: a file or folder of the user's;
`hub`: by name from the Hugging Face hub, kept in its cache; `random`: none, asked for by name."""

LOCATION: Mapping[str, Any] = {"location": True}
"""Metadata of a field that says where something lies on disk, and so is no part of a hash."""


class WeightSource(Protocol):
    """Where a configuration of weights says that they are from, as `check_source` checked it."""

    @property
    def pretrained(self) -> Pretrained: ...
    @property
    def checkpoint(self) -> str | None: ...
    @property
    def hub(self) -> str | None: ...


_places: ContextVar[Mapping[str, str] | None] = ContextVar("_places", default=None)
"""Inside of `only_cached`, the fields that take a folder in the place of each name."""


def check_source(
    part: str,
    size: str,
    pretrained: Pretrained,
    checkpoint: str | None,
    hub: str | None,
    *,
    packaged: bool = True,
) -> None:
    """Refuse a source of weights that cannot be.

    Args:
        part: whose weights, for messages.
        size: of it.
        pretrained: where they are from.
        checkpoint: their place.
        hub: their name.
        packaged: whether this project has some of size `nano`.

    Raises:
        ValueError: no such weights of that size, or `checkpoint` or `hub` is missing or unused.
    """
    if pretrained == "packaged" and not packaged:
        raise ValueError(
            f"{part}: no weights are packaged: set pretrained='checkpoint' with checkpoint=PLACE, "
            "pretrained='hub' with hub=NAME, or pretrained='random'"
        )
    if pretrained == "packaged" and size != "nano":
        raise ValueError(
            f"{part}: packaged weights exist for size 'nano', not {size!r}: "
            "set pretrained='checkpoint' with checkpoint=PLACE, pretrained='hub' with hub=NAME, "
            "or pretrained='random'"
        )
    if pretrained == "hub" and size == "nano":
        instead = "packaged" if packaged else "random"
        raise ValueError(
            f"{part}: weights of size 'nano' are on no hub: use pretrained={instead!r}"
        )
    for field, value, example in (("checkpoint", checkpoint, "PLACE"), ("hub", hub, "NAME")):
        if pretrained == field and value is None:
            raise ValueError(f"{part}: pretrained={field!r} needs {field}={example}")
        if pretrained != field and value is not None:
            raise ValueError(
                f"{part}: {field} has no effect with pretrained={pretrained!r}: "
                f"leave it out or set pretrained={field!r}"
            )


@contextmanager
def only_cached(places: Mapping[str, str]) -> Iterator[None]:
    """Inside, `from_hub` looks into its cache alone: the name is a file's, not the user's.

    Args:
        places: by name on the hub, the field that takes a folder in its place.
    """
    token = _places.set(places)
    try:
        yield
    finally:
        _places.reset(token)


def from_hub(name: str, files: tuple[str, ...] = ("config.json", "model.safetensors")) -> Path:
    """The folder of a model on the Hugging Face hub, downloaded unless its cache has it.

    Args:
        name: of the model.
        files: of it that are read.

    Raises:
        ValueError: no such model, the hub cannot be reached, or `only_cached` and it is not.
    """
    places = _places.get()
    allowed = places is None
    try:
        return Path(snapshot_download(name, allow_patterns=[*files], local_files_only=not allowed))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if places is not None:
            raise ValueError(
                f"{name} is not in this machine's cache of the Hugging Face hub, and a checkpoint "
                f"alone starts no download: if you trust that name, run `hf download {name}` "
                f"first, or give the place of its folder: {places[name]}=FOLDER"
            ) from error
        raise ValueError(
            f"can't get {name} from the Hugging Face hub ({str(error).strip().splitlines()[0]}): "
            "check the name and the connection, or download it elsewhere and give its folder with "
            "pretrained='checkpoint'"
        ) from error


def from_elsewhere(source: WeightSource) -> bool:
    """Whether weights are read from a file or the hub, which may be missing or not fit."""
    return source.pretrained in ("checkpoint", "hub")


def read_all(reads: Iterable[Callable[[], object]]) -> None:
    """Read several weights.

    Raises:
        ValueError: a file is missing or does not fit; all of them.
    """
    faults = []
    for read in reads:
        try:
            read()
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))


def begin_from(
    source: WeightSource,
    part: str,
    read: Callable[[Path], dict[str, Tensor]],
    load: Callable[[Mapping[str, Tensor], str], None],
) -> None:
    """Load the tensors that a part of a system begins with; none where they stay random.

    Args:
        source: where they are from.
        part: whose they are: `sam2`.
        read: the tensors of a file or folder.
        load: puts tensors into the network, and names where they are from if they do not fit.

    Raises:
        ValueError: they cannot be read or do not fit.
    """
    if source.pretrained == "packaged":
        load(packaged(f"nano_{part}"), "the package")
    elif source.checkpoint is not None:
        load(read(Path(source.checkpoint)), source.checkpoint)
    elif source.hub is not None:
        load(read(from_hub(source.hub)), source.hub)


def packaged(name: str) -> dict[str, Tensor]:
    """The tensors of `segcore/weights/<name>.safetensors`."""
    path = resources.files("segcore") / "weights" / f"{name}.safetensors"
    return load(path.read_bytes())


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        ValueError: it is no safetensors file, or a damaged one.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} can't be read as safetensors: {error}") from error


def read_plain(path: Path, advice: str) -> Any:
    """What `torch.save` wrote into a file, if it is tensors and plain values alone.

    Args:
        path: the file.
        advice: what to do about a damaged one, for the message.

    Raises:
        ValueError: it is damaged, or holds anything else, which is never unpickled.
    """
    try:
        # weights_only refuses everything in a pickle but tensors and plain values.
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} is damaged, or holds more than tensors and plain values, which is never read: "
            f"{advice}"
        ) from error


def read_published(
    path: Path, name: str, advice: str, *, entry: str | None, perhaps: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The tensors of a file as its authors publish it, or of a folder of transformers'.

    Args:
        path: a pickle of torch's, a safetensors file, or a folder with model.safetensors.
        name: of the model, for messages.
        advice: what to download, for messages.
        entry: of the pickle, under which its tensors are; None: they are all that is in it.
        perhaps: entries under one of which they may be even so.

    Raises:
        ValueError: no such file, a damaged one, or one that holds anything but tensors.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"no {name} checkpoint at {file}: {advice}")
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    content = read_plain(file, "download it again")
    where = "it" if entry is None else f"its entry {entry!r}"
    if entry is not None:
        content = content.get(entry) if isinstance(content, dict) else None
    elif isinstance(content, dict):
        inner = (content.get(key) for key in perhaps)
        content = next((x for x in inner if isinstance(x, dict)), content)
    if not isinstance(content, dict):
        lacking = "holds no tensors by name" if entry is None else f"has no entry {entry!r}"
        raise ValueError(f"{file} is no {name} checkpoint: it {lacking}")
    if others := [
        repr(key)
        for key, x in content.items()
        if not (isinstance(key, str) and isinstance(x, Tensor))
    ]:
        raise ValueError(
            f"{file} is no {name} checkpoint: {where} must have tensors by name, and "
            f"{', '.join(others)} is none"
        )
    return dict(content)


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a module, in its own precision, from tensors that match it name by name.

    Raises:
        ValueError: every name that is missing, unused, misshapen or not all numbers, in one
            message.
    """
    own = module.state_dict()
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & tensors.keys())
        if tensors[name].shape != own[name].shape
    ]
    refuse_misfits(
        source,
        missing=sorted(own.keys() - tensors.keys()),
        unused=sorted(tensors.keys() - own.keys()),
        misshapen=misshapen,
        damaged=not_finite(tensors),
    )
    module.load_state_dict(dict(tensors))


def refuse_misfits(
    source: str,
    *,
    missing: list[str],
    unused: list[str],
    misshapen: list[str],
    damaged: list[str],
) -> None:
    """Raise a ValueError that lists what does not fit, if anything does not."""
    kinds = {
        "missing": missing,
        "unused": unused,
        "misshapen": misshapen,
        "with NaN or infinity": damaged,
    }
    faults = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    if faults:
        raise ValueError(f"the weights in {source} do not fit the network; " + "; ".join(faults))


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with those of each fused `qkv` as three: `q_proj`, `k_proj` and `v_proj`. One
    that is no three of one size stays as it is."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        before, fused, after = name.partition(".qkv.")
        if not fused or not tensor.ndim or len(tensor) % 3:
            found[name] = tensor
            continue
        for part, x in zip("qkv", tensor.chunk(3), strict=True):
            found[f"{before}.{part}_proj.{after}"] = x.contiguous()
    return found


def renamed(name: str, patterns: Iterable[tuple[str, str]]) -> str:
    """A tensor's name with regular expressions replaced, one after another."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors with a value that is no finite number."""
    return sorted(n for n, x in tensors.items() if not (x.is_meta or x.isfinite().all()))


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 of a module's names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def moves(module: nn.Module) -> bool:
    """Whether a forward pass of the module has to record a graph."""
    return torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
