"""DistributedDataParallel with GaLoreAdamW: gradients are whole when the optimizer sees them.

    torchrun --nproc-per-node 2 ddp.py

Bases come from the summed gradients and from seeds that all ranks share, so that nothing is
broadcast. Where gradients are to be freed during the backward pass (`attach`), `fsdp2.py` shows
`reduce`, which takes the place of DistributedDataParallel.
"""

import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from srft_galore import GaLoreAdamW, for_model


def main() -> tuple[float, float]:
    """Train in a process group; the first and the last loss of this rank."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    targets = torch.tanh(inputs @ torch.randn(16, 4))
    net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
    model = DistributedDataParallel(net)
    groups = for_model(net, rank=4, targets="weight", update_proj_gap=10)
    optimizer = GaLoreAdamW(groups, lr=0.02)
    losses: list[float] = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs[rank::world]), targets[rank::world])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    for weight in net.parameters():
        others = [torch.empty_like(weight) for _ in range(world)]
        dist.all_gather(others, weight.detach())
        assert all(torch.equal(weight, other) for other in others), "the ranks drifted apart"
    return losses[0], losses[-1]


if __name__ == "__main__":
    dist.init_process_group("gloo")
    print("loss at the beginning and at the end: {:.3f} {:.3f}".format(*main()))
    dist.destroy_process_group()
    # A thread of gloo drops its last tensors a moment later; torch aborts if Python ended before.
    time.sleep(0.5)
