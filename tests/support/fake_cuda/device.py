"""Everything of torch that a training asks of a CUDA device."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from support.fake_cuda.backward import backward
from support.fake_cuda.counting import DEVICE, Counting, Counts, place_of_ours
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


class _Generator(torch.Generator):
    """A generator of any device draws on the CPU: on the device nothing has numbers."""

    def __new__(cls, device: Any = None) -> "_Generator":
        return super().__new__(cls)


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


class _Stream:
    """A CUDA stream: waiting for another one's event is its wait, not the host's."""

    def __init__(self, device: Any = None) -> None:
        pass

    def record_event(self) -> _Event:
        """Costs a launch that no table counts."""
        return _Event()

    def wait_event(self, event: _Event) -> None:
        """Alike."""


@dataclass
class FakeCuda:
    """The device, while it is there."""

    device: torch.device
    mode: Counting

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count what the block asks of the device, alone."""
        before, self.mode.counts = self.mode.counts, Counts()
        try:
            yield self.mode.counts
        finally:
            self.mode.counts = before

    @contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        """As `torch.cuda.stream`."""
        before, self.mode.stream = self.mode.stream, stream
        try:
            yield
        finally:
            self.mode.stream = before

    def read(self, x: Tensor) -> Tensor:
        """The host waits for a tensor and reads it."""
        self.wait()
        return torch.ones(x.shape, dtype=x.dtype)

    def wait(self, *args: Any) -> None:
        """The host waits for the device, as `torch.cuda.synchronize`."""
        self.mode.counts.waits[place_of_ours()] += 1


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """A CUDA device `cuda:0` for the block: everything of torch that a training asks of one.

    Networks are built on the CPU and moved by `.to(device)`, as a training does.
    """
    mode = Counting(FakeTensorMode(allow_non_fake_inputs=True))
    fake = FakeCuda(DEVICE, mode)
    foreach = [Tensor, nn.Parameter, FakeTensor]
    event = type("Event", (_Event,), {"synchronize": lambda self: fake.wait()})
    replaced: list[tuple[str, Any]] = [
        ("torch.cuda._lazy_init", lambda: None),
        ("torch.cuda.is_current_stream_capturing", lambda: False),
        ("torch.cuda.synchronize", fake.wait),
        ("torch.cuda.Event", event),
        ("torch.cuda.current_stream", _Stream),
        ("torch.cuda.Stream", _Stream),
        ("torch.cuda.stream", fake.stream),
        ("torch.Tensor.record_stream", lambda self, stream: None),
        ("torch.cuda.is_bf16_supported", lambda *a, **k: True),
        ("torch.cuda.get_device_name", lambda *a: "a GPU that is not there"),
        ("torch.cuda.max_memory_allocated", lambda *a: 0),
        ("torch.cuda.empty_cache", lambda: None),
        ("torch.cuda.get_per_process_memory_fraction", lambda *a: 1.0),
        ("torch.cuda.get_device_properties", lambda *a: SimpleNamespace(total_memory=80 * 10**9)),
        ("torch.cuda.reset_peak_memory_stats", lambda *a: None),
        ("torch.cuda.get_rng_state", lambda *a: torch.get_rng_state()),
        ("torch.cuda.set_rng_state", lambda *a: None),
        ("torch.Generator", _Generator),
        ("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        ("torch.nn.functional.scaled_dot_product_attention", _attention),
        ("torch.tensor", _made_on_the_host(torch.tensor)),
        ("torch.as_tensor", _made_on_the_host(torch.as_tensor)),
        ("torch.Tensor.backward", backward),
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
