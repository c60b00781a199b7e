"""Stochastic weight averaging (`torch.optim.swa_utils`) over steps of GaLoreAdamW.

python swa.py
"""

import torch
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

from srft_galore import GaLoreAdamW, for_model


def main() -> tuple[float, float]:
    """Train; the loss before and that of the averaged weights after."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    targets = torch.tanh(inputs @ torch.randn(16, 4))
    model = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.GELU(), nn.Linear(64, 4))
    optimizer = GaLoreAdamW(for_model(model, rank=4, targets="weight", update_proj_gap=10), lr=0.01)
    averaged, schedule = AveragedModel(model), SWALR(optimizer, swa_lr=0.005, anneal_epochs=2)

    first = nn.functional.mse_loss(model(inputs), targets).item()
    for epoch in range(10):
        for part in torch.randperm(256).split(64):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs[part]), targets[part]).backward()
            optimizer.step()
        if epoch >= 5:
            averaged.update_parameters(model)
            schedule.step()
    update_bn([inputs], averaged)
    with torch.no_grad():
        return first, nn.functional.mse_loss(averaged(inputs), targets).item()


if __name__ == "__main__":
    print("loss before and after: {:.3f} {:.3f}".format(*main()))
