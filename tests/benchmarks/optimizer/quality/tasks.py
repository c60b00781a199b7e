"""The trainings that optimizers are judged on: small, made from a seed, nothing downloaded.

A seed decides everything: the data, the initial weights and the order of the batches. Two runs of
one seed see the same of all three, so that their difference is the optimizers' own.

Shapes: B rows of a batch, T positions, D features.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .language import VOCABULARY, write_text
from .networks import Classifier, LanguageModel, linear_weights, mlp
from .pictures import CLASSES, SIDE, render


@dataclass(frozen=True)
class Training:
    """A model with its data."""

    model: nn.Module
    projected: list[nn.Parameter]
    """The weights that a low-rank optimizer projects; all others are plain."""
    loss: Callable[[], Tensor]
    """Of the next batch."""
    score: Callable[[], float]
    """On data that was not trained on; less is better."""


@dataclass(frozen=True)
class Task:
    """What is trained, for how long, and at which rates."""

    name: str
    about: str
    score: str
    """What its score is."""
    steps: int
    rates: tuple[float, ...]
    """Learning rates that each arm is tried at; the same for all."""
    build: Callable[[int], Training]
    """From a seed."""


def language(seed: int) -> Training:
    """A two-layer transformer on made text: words of a lexicon, brackets, and names that recur."""
    length, batch = 40, 10
    text = write_text(seed, characters=60_000)
    held_out, text = text[:6_000], text[6_000:]
    torch.manual_seed(seed)
    model = LanguageModel(VOCABULARY, length, width=64, layers=2, heads=4)
    order = torch.Generator().manual_seed(seed)

    def of(tokens: Tensor, starts: Tensor) -> Tensor:
        rows_BT = tokens[starts[:, None] + torch.arange(length + 1)]
        logits = model(rows_BT[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), rows_BT[:, 1:].flatten())

    def loss() -> Tensor:
        return of(text, torch.randint(len(text) - length, (batch,), generator=order))

    def score() -> float:
        return float(of(held_out, torch.arange(0, len(held_out) - length - 1, length)))

    return Training(model, linear_weights(model.blocks), loss, score)


def regression(seed: int) -> Training:
    """A network of three layers that learns another one, from inputs of a steep spectrum.

    The inputs' standard deviations fall as 1 / j, and the teacher depends on all of them alike:
    what the small ones say is learned through gradients that are as much smaller.
    """
    features, outputs, batch = 96, 16, 64
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(features, features, generator=generator)).Q
    spread = torch.arange(1, features + 1).float().pow(-1)
    W_in = torch.randn(features, 48, generator=generator) / math.sqrt(features)
    W_out = torch.randn(48, outputs, generator=generator) / math.sqrt(48)

    def draw(rows: int) -> tuple[Tensor, Tensor]:
        x_BD = torch.randn(rows, features, generator=generator)
        return (x_BD * spread) @ rotation, torch.tanh(2 * x_BD @ W_in) @ W_out

    held_out, targets = draw(2048)
    torch.manual_seed(seed)
    model = mlp(features, 192, outputs)

    def loss() -> Tensor:
        x_BD, y_BD = draw(batch)
        return F.mse_loss(model(x_BD), y_BD)

    def score() -> float:
        left = F.mse_loss(model(held_out), targets) / targets.var(unbiased=False)
        return 100 * float(left)

    return Training(model, linear_weights(model)[:-1], loss, score)


def pictures(seed: int) -> Training:
    """A two-layer ViT that names rendered shapes amid clutter and noise."""
    batch, train, held = 20, 1536, 512
    images, labels = render(seed, train + held)
    torch.manual_seed(seed)
    model = Classifier(SIDE, patch=4, width=64, layers=2, heads=4, classes=CLASSES)
    order = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        chosen = torch.randint(train, (batch,), generator=order)
        return F.cross_entropy(model(images[chosen]), labels[chosen])

    def score() -> float:
        return float(F.cross_entropy(model(images[train:]), labels[train:]))

    return Training(model, linear_weights(model.blocks), loss, score)


def nano(seed: int) -> Training:
    """The packaged nano network of two encoders, SAM2's among them, fitted to rendered scenes: its
    attention is projected, its head is plain, and all else stays. Needs segcore."""
    from segcore.batch import FINISHED, Batch
    from segcore.data.loader import collate
    from segcore.data.sets.synthetic_liver import SyntheticLiver
    from segcore.methods.method import Method
    from segcore.presets import nano as preset
    from segcore.systems.dual_encoder.network import DualEncoderConfig

    side, batch, train, held = 64, 2, 40, 16
    scenes = SyntheticLiver(train=train, val=held, test=1, size=side, seed=seed).open()
    torch.manual_seed(seed)
    config = preset().system
    assert isinstance(config, DualEncoderConfig)
    config = replace(config, image_size=side)
    system, size = config.build(scenes.classes), config.input_size
    Method.named("galore").adapt(system)  # says which weights move, and nothing else
    adapted = (module.weight for module in system.adaptable("attention").values())
    weights = [weight for weight in adapted if isinstance(weight, nn.Parameter)]
    order = torch.Generator().manual_seed(seed)

    def of(split: Literal["train", "val"], chosen: list[int]) -> Tensor:
        ids = scenes.ids(split)
        images: Batch = collate([scenes.load(split, ids[i], size) for i in chosen], scenes.classes)
        return system.loss(system(images, size), images, FINISHED)

    def loss() -> Tensor:
        return of("train", torch.randint(train, (batch,), generator=order).tolist())

    def score() -> float:
        return float(of("val", list(range(held))))

    return Training(system, weights, loss, score)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "language",
            "transformer of two layers, width 64, on made text",
            "held-out cross entropy per character",
            250,
            (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
            language,
        ),
        Task(
            "regression",
            "MLP of three layers, width 192; inputs' standard deviations 1 / j",
            "per cent of the held-out variance left",
            1000,
            (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
            regression,
        ),
        Task(
            "pictures",
            "ViT of two layers, width 64, on rendered shapes",
            "held-out cross entropy",
            250,
            (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
            pictures,
        ),
        Task(
            "nano",
            "the packaged network of two nano encoders, its attention, on rendered scenes",
            "held-out loss",
            80,
            (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
            nano,
        ),
    )
}
"""By name."""
QUICK = ("language", "regression", "pictures")
"""Those that take some two seconds and need torch alone."""
