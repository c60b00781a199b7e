"""What a training uses of its machine; the GPU is a fake."""

import time
from dataclasses import dataclass

import pytest
import torch
from pynvml import NVML_ERROR_NOT_SUPPORTED, NVMLError

from segtune.execution.training import utilisation
from segtune.execution.training.utilisation import Meter, Utilisation

GB = 10**9


@dataclass
class FakeGpu:
    """What `torch.cuda` says of a device."""

    busy: int | Exception = 0
    used: int = 0
    asked: int = 0

    def utilization(self, device: torch.device) -> int:
        self.asked += 1
        if isinstance(self.busy, Exception):
            raise self.busy
        return self.busy

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return 16 * GB - self.used, 16 * GB


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()
    monkeypatch.setattr(torch.cuda, "utilization", fake.utilization)
    monkeypatch.setattr(torch.cuda, "mem_get_info", fake.mem_get_info)
    return fake


def test_cpus_that_were_busy() -> None:
    meter = Meter(torch.device("cpu"))
    end = time.process_time() + 0.3
    began = time.monotonic()
    while time.process_time() < end:
        meter.look()
    share = 0.3 / (time.monotonic() - began)
    used = meter.take()
    assert used.cpus_used == pytest.approx(share, abs=0.25)
    assert (used.gpu_utilisation, used.gpu_memory_bytes) == (None, None)
    time.sleep(0.3)
    assert meter.take().cpus_used < 0.3, "since the last time alone"


def test_a_gpu_is_looked_at_every_few_seconds(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    meter = Meter(torch.device("cuda"))
    for busy, used in ((90, 4 * GB), (50, 6 * GB), (100, 5 * GB)):
        gpu.busy, gpu.used = busy, used
        clock[0] += utilisation.LOOK
        for _ in range(100):  # steps
            meter.look()
    assert gpu.asked == 3
    found = meter.take()
    assert found.gpu_utilisation == pytest.approx(0.8)
    assert found.gpu_memory_bytes == 6 * GB
    gpu.busy = 20
    assert meter.take().gpu_utilisation == 0.2, "an epoch that is shorter than a look has one too"


@pytest.mark.parametrize("error", [NVMLError(NVML_ERROR_NOT_SUPPORTED), RuntimeError("no driver")])
def test_a_gpu_that_nobody_can_ask_has_its_memory(gpu: FakeGpu, error: Exception) -> None:
    gpu.busy, gpu.used = error, 2 * GB
    meter = Meter(torch.device("cuda"))
    used = meter.take()
    assert used == Utilisation(used.cpus_used, None, 2 * GB)
