"""FSDP2 shards what torch's AdamW moves; projected weights stay whole, without their gradients.

    torchrun --nproc-per-node 2 fsdp2.py

A shard of a gradient has another subspace than the gradient, so GaLoreAdamW refuses DTensors. What
it moves is left out of the sharding (`ignored_params`): its state is small, its gradients are freed
in the backward pass, and `reduce` sums their projections over the ranks.
"""

import time

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from srft_galore import AllReduce, Broadcast, GaLoreAdamW, for_model


class BagOfWords(nn.Module):
    """The mean of the words' vectors, and a small network on it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(64, 16)
        self.net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.net(self.words(words).mean(1))
        return out


def main() -> tuple[float, float]:
    """Train in a process group; the first and the last loss of this rank."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    words = torch.randint(64, (256, 8))
    targets = torch.randn(64, 4)[words].mean(1)
    model = BagOfWords()
    options = {"refresh_from": "previous", "start": "warm", "oversample": 4, "update_proj_gap": 10}
    projected, _ = for_model(model, rank=4, targets=r"net.*weight", **options)
    wrapped = fully_shard(model, ignored_params=set(projected["params"]))
    wrapped.set_gradient_divide_factor(1.0)  # it would divide by the ranks what `reduce` sums
    wrapped.set_force_sum_reduction_for_comms(True)  # gloo has no other

    low_rank = GaLoreAdamW([projected], lr=0.02)
    whole = set(projected["params"])
    sharded = torch.optim.AdamW((p for p in model.parameters() if p not in whole), lr=0.02)
    low_rank.attach(model)
    losses: list[float] = []
    for _ in range(40):
        loss = nn.functional.mse_loss(model(words[rank::world]), targets[rank::world])
        (loss / world).backward()
        low_rank.reduce(AllReduce(), Broadcast(), rank=rank, world=world)
        for optimizer in (low_rank, sharded):
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    for weight in whole:
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
