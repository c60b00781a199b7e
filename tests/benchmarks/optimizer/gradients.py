"""Matrices to measure on: gradients that `capture` saved, and made ones of a known spectrum."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Captured:
    """The gradients of one training at several steps."""

    name: str
    """Of the training: the file name up to the step."""
    files: dict[int, Path]
    """By step, in order."""

    @property
    def last(self) -> int:
        """The latest step."""
        return max(self.files)

    def earlier(self) -> list[int]:
        """The step before the last, and the one nearest to 20 steps before, where saved."""
        steps = [step for step in self.files if step < self.last]
        near = [step for step in steps if step == self.last - 1]
        far = [step for step in steps if self.last - step >= 10]
        return near + sorted(far, key=lambda step: abs(self.last - step - 20))[:1]

    def load(self, step: int) -> dict[str, Tensor]:
        """Gradients by the name of their weight, float32 on the CPU."""
        from safetensors.torch import load_file  # not on a machine with torch alone

        return load_file(self.files[step])


def find_captured(folder: Path | None) -> list[Captured]:
    """Every training whose gradients are in a folder.

    Raises:
        ValueError: There are none.
    """
    if folder is None:
        return []
    trainings: dict[str, dict[int, Path]] = {}
    for path in folder.glob("*-*.safetensors"):
        name, _, step = path.stem.rpartition("-")
        trainings.setdefault(name, {})[int(step)] = path
    if not trainings:
        raise ValueError(f"no gradients in {folder}: run capture --out {folder} first")
    return [Captured(n, dict(sorted(files.items()))) for n, files in sorted(trainings.items())]


def with_spectrum(m: int, n: int, power: float, *, seed: int = 0) -> Tensor:
    """A matrix (M, N) with random singular vectors and singular values j^-power."""
    generator = torch.Generator().manual_seed(seed)
    k = min(m, n)
    U = torch.linalg.qr(torch.randn(m, k, generator=generator)).Q
    V = torch.linalg.qr(torch.randn(n, k, generator=generator)).Q
    spectrum = torch.arange(1, k + 1, dtype=torch.float64).pow(-power).float()
    made: Tensor = (U * spectrum) @ V.mT
    return made


def disturbed(G: Tensor, share: float, *, seed: int = 0) -> Tensor:
    """G plus white noise of `share` of its Frobenius norm: a made gradient of an earlier step."""
    noise = torch.randn(G.shape, generator=torch.Generator().manual_seed(seed))
    ratio: Tensor = torch.linalg.vector_norm(G) / torch.linalg.vector_norm(noise)
    return G + share * ratio * noise
