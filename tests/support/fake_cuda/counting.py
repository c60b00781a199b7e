"""Operators, casts, waits, copies, FLOPs and bytes of what runs on tensors without numbers."""

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

DEVICE = torch.device("cuda:0")
OURS = ("/model/segcore/", "/model/srft_galore/", "/platform/segtune/")
"""Folders in which a wait's place is looked for."""
_FREE = {
    "_unsafe_view", "_reshape_alias", "lift_fresh", "detach", "alias", "set_", "resize_",
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",
}  # fmt: skip
"""Operators beside views that launch nothing."""
_COPIES = {"_to_copy", "copy_"}
_SHAPED_BY_NUMBERS = {"nonzero", "masked_select"}
"""Operators that a GPU waits for, since their output's size is in the numbers."""


@dataclass
class Counts:
    """What a stretch of a program asks of the device."""

    calls: Counter[str] = field(default_factory=Counter)
    """Operators that launch something, by name. A `_foreach` or fused one counts once."""
    casts: int = 0
    """Of the calls, changes of dtype on the device."""
    waits: Counter[str] = field(default_factory=Counter)
    """How often the host waits for the device, by file and line."""
    copies: Counter[str] = field(default_factory=Counter)
    """Transfers between host and device, by file and line."""
    copied_bytes: int = 0
    """Of the transfers."""
    beside_bytes: int = 0
    """Of those on a stream of their own, which wait for no kernel."""
    flops: Counter[str] = field(default_factory=Counter)
    """Of products, convolutions and attention, by operator and the dtype that is multiplied."""
    moved_bytes: Counter[str] = field(default_factory=Counter)
    """Read and written by all calls that have no FLOPs, by operator."""
    product_bytes: int = 0
    """Read and written by those that have."""

    @property
    def total(self) -> int:
        """Calls in all."""
        return sum(self.calls.values())


class Counting(TorchDispatchMode):
    """Runs what touches the device on tensors without numbers, and counts it."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake, self.counts = fake, Counts()
        self.stream: object | None = None
        """On which all is launched; None: that of the device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.name().split("::")[-1].split(".")[0]
        if torch.is_inference_mode_enabled() and func.namespace == "aten":
            # There, composite operators come in one piece.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        inputs = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        named = kwargs.get("device")
        there = any(isinstance(x, FakeTensor) for x in inputs)
        if not there and (named is None or torch.device(named).type != "cuda"):
            return func(*args, **kwargs)
        if name in ("_local_scalar_dense", "is_nonzero", "equal"):
            self.counts.waits[place_of_ours()] += 1
            return _one(inputs[0].dtype) if name == "_local_scalar_dense" else True
        with self.fake:
            if name in _SHAPED_BY_NUMBERS:
                self.counts.waits[place_of_ours()] += 1
                out = _as_if(name, inputs[0])
            else:
                out = func(*args, **kwargs)
        self._count(func, name, args, kwargs, inputs, out)
        if name in _COPIES and isinstance(out, FakeTensor) and out.device.type == "cpu":
            target = args[0] if name == "copy_" else None
            return _read(out, None if isinstance(target, FakeTensor) else target)
        return out

    def _count(
        self, func: Any, name: str, args: Any, kwargs: Any, inputs: Sequence[Tensor], out: Any
    ) -> None:
        counts = self.counts
        if func.is_view or name in _FREE or func.name().startswith("prim::"):
            return
        outputs = [x for x in tree_flatten(out)[0] if isinstance(x, Tensor)]
        if name in _COPIES:
            source, made = inputs[-1] if name == "copy_" else inputs[0], outputs[0]
            if source.device.type != made.device.type:
                self._transfer(args, kwargs, source)
                return
            counts.casts += source.dtype != made.dtype
        counts.calls[name] += 1
        moved = sum(_bytes(x) for x in (*inputs, *outputs) if x.device.type == "cuda")
        count_flops = flop_registry.get(func.overloadpacket)
        if count_flops is None:
            counts.moved_bytes[name] += moved
        else:
            _check_dtypes(name, inputs)
            dtype = str(inputs[0].dtype).removeprefix("torch.")
            counts.flops[f"{name} {dtype}"] += count_flops(*args, **kwargs, out_val=out)
            counts.product_bytes += moved

    def _transfer(self, args: Any, kwargs: Any, source: Tensor) -> None:
        place = place_of_ours()
        self.counts.copies[place] += 1
        sent = source.numel() * source.element_size()
        self.counts.copied_bytes += sent
        self.counts.beside_bytes += 0 if self.stream is None else sent
        asynchronous = kwargs.get("non_blocking") or any(a is True for a in args[2:])
        if not asynchronous:
            self.counts.waits[place] += 1


def _bytes(x: Tensor) -> int:
    """What a kernel reads or writes of a tensor: a broadcast element counts once."""
    elements = 1
    for size, stride in zip(x.shape, x.stride(), strict=True):
        elements *= size if stride or size == 0 else 1
    return elements * x.element_size()


def _check_dtypes(name: str, factors: Sequence[Tensor]) -> None:
    """Without numbers torch multiplies tensors of two dtypes, which a GPU refuses.

    Raises:
        RuntimeError: They are of more than one.
    """
    dtypes = {x.dtype for x in factors if x.is_floating_point()}
    if len(dtypes) > 1 and "attention" not in name:  # attention keeps sums in float32
        raise RuntimeError(f"{name} of more than one dtype: {', '.join(map(str, dtypes))}")


def _one(dtype: torch.dtype) -> float | int | bool:
    return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1


def _as_if(name: str, x: Tensor) -> Tensor:
    """What an operator whose output's size is in the numbers gives, if half of them count."""
    half = max(1, x.numel() // 2)
    if name == "nonzero":
        return torch.empty(half, x.ndim, dtype=torch.int64, device=DEVICE)
    return torch.empty(half, dtype=x.dtype, device=DEVICE)


def _read(x: Tensor, into: Tensor | None) -> Tensor:
    """What the host has read: ones."""
    if into is not None:
        return into.fill_(1)
    return torch.ones(x.shape, dtype=x.dtype)


def place_of_ours() -> str:
    """The innermost line of ours that runs."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        for folder in OURS:
            if folder in name:
                return f"{name.split(folder)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
