"""A LightningModule that trains with GaLoreAdamW; needs pytorch-lightning.

python lightning_module.py
"""

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from srft_galore import GaLoreAdamW, for_model


class Regression(pl.LightningModule):
    """A small network; its losses are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 4))
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.net(inputs), targets)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        groups = for_model(self, rank=4, targets="weight", update_proj_gap=10)
        optimizer = GaLoreAdamW(groups, lr=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def main() -> tuple[float, float]:
    """Train; the first and the last loss."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    data = TensorDataset(inputs, torch.tanh(inputs @ torch.randn(16, 4)))
    module = Regression()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=10,
        gradient_clip_val=1.0,  # whole gradients: not together with `attach`
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, batch_size=64))
    return module.losses[0], module.losses[-1]


if __name__ == "__main__":
    print("loss at the beginning and at the end: {:.3f} {:.3f}".format(*main()))
