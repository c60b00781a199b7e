"""The device that is not there, on which the other counts stand."""

import pytest
import torch
from support.fake_cuda import fake_cuda
from torch import nn

from segcore.training.runtime import autocast


def test_a_step_is_counted_operator_by_operator() -> None:
    network = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    with fake_cuda() as cuda:
        network.to(cuda.device)
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        with cuda.counting() as forward, autocast(cuda.device, "bfloat16"):
            loss = network(torch.zeros(2, 8, device=cuda.device)).float().mean()
        with cuda.counting() as backward:
            loss.backward()
        with cuda.counting() as step:
            optimizer.step()
    # Two layers' weight and bias each, the input, and the logits.
    assert forward.casts == 6
    assert forward.calls["addmm"] == 2
    assert forward.flops == {"addmm bfloat16": 2 * 2 * 8 * 16 + 2 * 2 * 16 * 4}
    assert backward.calls["mm"] == 3  # nothing asks for the input's gradient
    assert {p.grad.shape for p in network.parameters() if p.grad is not None} == {
        p.shape for p in network.parameters()
    }
    assert step.calls["_fused_adamw_"] == 1
    assert not forward.waits + backward.waits + step.waits


def test_what_the_host_reads_is_a_wait_and_what_it_sends_a_copy() -> None:
    with fake_cuda() as cuda:
        x = torch.zeros(3, device=cuda.device)
        with cuda.counting() as reads:
            assert x.sum().item() == 1
            assert x.tolist() == [1, 1, 1]
            assert x.cpu().tolist() == [1, 1, 1]
            assert bool(x.isfinite().all())
            x.nonzero()
        with cuda.counting() as sends:
            torch.zeros(5).to(cuda.device, non_blocking=True)
    assert reads.waits.total() == 5
    assert sends.waits.total() == 0
    assert (sends.copies.total(), sends.copied_bytes) == (1, 20)


def test_a_tensor_on_the_wrong_device_or_of_the_wrong_dtype_is_refused() -> None:
    with fake_cuda() as cuda:
        there = torch.zeros(2, 2, device=cuda.device)
        with pytest.raises(RuntimeError, match="device"):
            there + torch.zeros(2, 2)
        with pytest.raises(RuntimeError, match="dtype"):
            there @ there.bfloat16()
