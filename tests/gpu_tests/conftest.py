"""What the tests on a real GPU share; without one they skip."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """The first GPU."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda:0")


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Whatever waits for the GPU raises an error, where torch knows that it waits."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode(before)


@pytest.fixture(autouse=True)
def _own_kernels() -> Iterator[None]:
    """What a training has torch choose kernels by does not outlast its test."""
    deterministic, benchmark = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
    )
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
