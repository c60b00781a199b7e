"""A CUDA device that is not there: what would be launched on it, copied to it and waited for.

Tensors on `cuda:0` have shapes, dtypes and strides and no numbers (torch's FakeTensorMode); those
on the CPU are real. An operator that mixes devices or dtypes wrongly raises as on a GPU. What the
host reads from the device is a wait, and reads as ones.

Not as on a GPU: the backward pass is walked in Python, since torch's engine wants a driver; which
attention kernel runs is assumed (`_attention`); nothing is timed.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
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


class _Counting(TorchDispatchMode):
    """Runs what touches the device on tensors without numbers, and counts it."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake, self.counts = fake, Counts()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        named = kwargs.get("device")
        there = any(isinstance(x, FakeTensor) for x in inputs)
        if not there and (named is None or torch.device(named).type != "cuda"):
            return func(*args, **kwargs)
        name = func.name().split("::")[-1].split(".")[0]
        if name in ("_local_scalar_dense", "is_nonzero", "equal"):
            self.counts.waits[_place()] += 1
            return _one(inputs[0].dtype) if name == "_local_scalar_dense" else True
        with self.fake:
            if name in _SHAPED_BY_NUMBERS:
                self.counts.waits[_place()] += 1
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
        place = _place()
        self.counts.copies[place] += 1
        self.counts.copied_bytes += source.numel() * source.element_size()
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


def _place() -> str:
    """The innermost line of ours that runs."""
    for frame in reversed(traceback.extract_stack(limit=60)):
        for folder in OURS:
            if folder in frame.filename:
                return f"{frame.filename.split(folder)[1]}:{frame.lineno}"
    return "elsewhere"


class _Event:
    """A CUDA event: waiting for it waits for the device, asking for the time between two does not
    once they are over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        """Costs a launch that no table counts."""

    def elapsed_time(self, end: "_Event") -> float:
        """Milliseconds."""
        return 1.0

    def query(self) -> bool:
        """Over."""
        return True


@dataclass
class FakeCuda:
    """The device, while it is there."""

    device: torch.device
    mode: _Counting

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count what the block asks of the device, alone."""
        before, self.mode.counts = self.mode.counts, Counts()
        try:
            yield self.mode.counts
        finally:
            self.mode.counts = before

    def read(self, x: Tensor) -> Tensor:
        """The host waits for a tensor and reads it."""
        self.wait()
        return torch.ones(x.shape, dtype=x.dtype)

    def wait(self, *args: Any) -> None:
        """The host waits for the device, as `torch.cuda.synchronize`."""
        self.mode.counts.waits[_place()] += 1


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """A CUDA device `cuda:0` for the block: everything of torch that a training asks of one.

    Networks are built on the CPU and moved by `.to(device)`, as a training does.
    """
    mode = _Counting(FakeTensorMode(allow_non_fake_inputs=True))
    fake = FakeCuda(DEVICE, mode)
    foreach = [Tensor, nn.Parameter, FakeTensor]
    event = type("Event", (_Event,), {"synchronize": lambda self: fake.wait()})
    replaced: list[tuple[str, Any]] = [
        ("torch.cuda._lazy_init", lambda: None),
        ("torch.cuda.is_current_stream_capturing", lambda: False),
        ("torch.cuda.synchronize", fake.wait),
        ("torch.cuda.Event", event),
        ("torch.cuda.is_bf16_supported", lambda *a, **k: True),
        ("torch.cuda.get_device_name", lambda *a: "a GPU that is not there"),
        ("torch.cuda.max_memory_allocated", lambda *a: 0),
        ("torch.cuda.reset_peak_memory_stats", lambda *a: None),
        ("torch.cuda.get_rng_state", lambda *a: torch.get_rng_state()),
        ("torch.cuda.set_rng_state", lambda *a: None),
        ("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        ("torch.nn.functional.scaled_dot_product_attention", _attention),
        ("torch.tensor", _made_on_the_host(torch.tensor)),
        ("torch.as_tensor", _made_on_the_host(torch.as_tensor)),
        ("torch.Tensor.backward", _backward),
        ("torch.Tensor.data_ptr", _data_ptr(Tensor.data_ptr)),
        ("torch._subclasses.fake_tensor.FakeTensor.tolist", lambda self: fake.read(self).tolist()),
        ("torch.Tensor.pin_memory", lambda self, *a: self),
        ("torch.utils._foreach_utils._foreach_supported_types", foreach),
        ("torch.optim.optimizer._foreach_supported_types", foreach),
    ]
    with ExitStack() as stack:
        for name, value in replaced:
            stack.enter_context(mock.patch(name, value))
        stack.enter_context(mode)
        yield fake


def _data_ptr(real: Callable[[Tensor], int]) -> Callable[[Tensor], int]:
    """Addresses that tell two tensors without numbers apart."""

    def data_ptr(self: Tensor) -> int:
        if not isinstance(self, FakeTensor):
            return real(self)
        return int(self.untyped_storage()._cdata + self.storage_offset())

    return data_ptr


def _made_on_the_host(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A tensor of Python's numbers is made on the CPU and copied, as torch does it."""

    def make(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        if device is None or torch.device(device).type != "cuda" or isinstance(data, FakeTensor):
            return real(data, device=device, **options)
        return real(data, **options).to(device)

    return make


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Flash attention in bfloat16 where there is no mask; else the memory-efficient one. Which one
    torch takes cannot be asked without a GPU."""
    aten = torch.ops.aten
    if torch.is_autocast_enabled("cuda") and query.device.type == "cuda":
        dtype = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if attn_mask is None and query.dtype == torch.bfloat16 and query.shape[-1] % 8 == 0:
        out: Tensor = aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, scale=scale
        )[0]
        return out
    if attn_mask is not None:
        attn_mask = attn_mask.expand(*query.shape[:-1], key.shape[-2]).to(query.dtype)
    needs_gradient = any(x.requires_grad for x in (query, key, value))
    out = aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, needs_gradient, dropout_p, is_causal, scale=scale
    )[0]
    return out


def _backward(self: Tensor, gradient: Tensor | None = None, **_: Any) -> None:
    """The backward pass of torch's engine, node by node: the same operators, on this thread."""
    root: Any = self.grad_fn
    assert root is not None
    waiting = _uses(root)
    begin = torch.ones_like(self) if gradient is None else gradient
    sums: dict[Any, list[Tensor | None]] = {root: [begin]}
    ready = [root]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            given = sums.pop(node)
            if node.name().endswith("AccumulateGrad"):
                _accumulate(node.variable, given[0])
                continue
            made = _called(node, given)
            for (following, place), grad in zip(node.next_functions, made, strict=True):
                if following is None:
                    continue
                expected = following._input_metadata
                slots = sums.setdefault(following, [None] * len(expected))
                if grad is not None:
                    grad = _as_expected(grad, expected[place])
                    held = slots[place]
                    slots[place] = grad if held is None else held + grad
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)


def _uses(root: Any) -> Counter[Any]:
    """How many nodes hand a gradient to each node."""
    uses: Counter[Any] = Counter()
    left, seen = [root], {root}
    while left:
        for node, _ in left.pop().next_functions:
            if node is not None:
                uses[node] += 1
                if node not in seen:
                    seen.add(node)
                    left.append(node)
    return uses


def _called(node: Any, given: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    if all(grad is None for grad in given):
        return (None,) * len(node.next_functions)
    made = node.apply(*given) if hasattr(node, "apply") else node(*given)
    return made if isinstance(made, tuple) else (made,)


def _as_expected(grad: Tensor, expected: Any) -> Tensor:
    """The engine brings each gradient to the shape and dtype of what it is a gradient of."""
    if grad.shape != expected.shape:
        grad = grad.sum_to_size(expected.shape)
    return grad.to(expected.dtype)


def _accumulate(leaf: Tensor, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
    for hook in (getattr(leaf, "_post_accumulate_grad_hooks", None) or {}).values():
        hook(leaf)
