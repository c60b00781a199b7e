"""Accelerate's loop with GaLoreAdamW, gradients accumulated over two batches; needs accelerate.

accelerate launch accelerate_loop.py
"""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from srft_galore import GaLoreAdamW, for_model


def main() -> tuple[float, float]:
    """Train; the first and the last loss."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    data = TensorDataset(inputs, torch.tanh(inputs @ torch.randn(16, 4)))
    net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
    groups = for_model(net, rank=4, targets="weight", update_proj_gap=10)
    accelerator = Accelerator(gradient_accumulation_steps=2)
    model, optimizer, loader = accelerator.prepare(
        net, GaLoreAdamW(groups, lr=0.02), DataLoader(data, batch_size=32)
    )
    losses: list[float] = []
    for _ in range(10):
        for some, targets in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.mse_loss(model(some), targets)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
    return losses[0], losses[-1]


if __name__ == "__main__":
    print("loss at the beginning and at the end: {:.3f} {:.3f}".format(*main()))
