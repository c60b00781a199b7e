"""Hugging Face's Trainer with GaLoreAdamW; needs transformers and accelerate.

    python hugging_face.py

Trainer clips whole gradients (`max_grad_norm`). With `attach` they are gone by then: set it to 0
and clip with `optimizer.clip_grad_norm_`.
"""

import tempfile
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
    get_cosine_schedule_with_warmup,
)

from srft_galore import GaLoreAdamW, for_model

STEPS = 40


def main() -> tuple[float, float]:
    """Train a small language model to count; its loss at the beginning and at the end."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, num_attention_heads=2, **sizes))
    groups = for_model(model, rank=4, targets=["self_attn", "mlp"], update_proj_gap=10)
    optimizer = GaLoreAdamW(groups, lr=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 4, STEPS)
    counting = (torch.arange(16) + torch.arange(64)[:, None]) % 32
    data: list[dict[str, Tensor]] = [{"input_ids": line, "labels": line} for line in counting]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
                folder,
                max_steps=STEPS,
                per_device_train_batch_size=16,
                logging_steps=5,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=data,
            optimizers=(optimizer, schedule),
        )
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return float(losses[0]), float(losses[-1])


if __name__ == "__main__":
    print("loss at the beginning and at the end: {:.3f} {:.3f}".format(*main()))
