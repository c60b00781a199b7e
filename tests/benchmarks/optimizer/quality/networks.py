"""The networks of the tasks.

Shapes: B rows, T positions, D features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention and an MLP, each after a norm and added to what came in."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The block's output, of the shape of its input."""
        heads = self.qkv(self.norms[0](x_BTD)).unflatten(-1, (3, self.heads, -1))
        q, k, v = heads.transpose(1, 3).unbind(2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x_BTD = x_BTD + self.out(mixed.transpose(1, 2).flatten(2))
        hidden = F.gelu(self.up(self.norms[1](x_BTD)))
        result: Tensor = x_BTD + self.down(hidden)
        return result


class LanguageModel(nn.Module):
    """Tokens to logits of the next one."""

    def __init__(
        self, vocabulary: int, length: int, *, width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, vocabulary)."""
        logits: Tensor = self.head(self.blocks(self.embedding(tokens_BT) + self.places))
        return logits


class Classifier(nn.Module):
    """A ViT: images to logits of the classes."""

    def __init__(
        self, side: int, *, patch: int, width: int, layers: int, heads: int, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.places = nn.Parameter(0.02 * torch.randn((side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes)."""
        x_BTD = self.patches(images).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.blocks(x_BTD).mean(1))
        return logits


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Three layers with GELU between."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, outputs),
    )


def linear_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of all linear layers, in order."""
    weights = (m.weight for m in model.modules() if isinstance(m, nn.Linear))
    return [weight for weight in weights if isinstance(weight, nn.Parameter)]
