"""Random test matrices Omega and the products G @ Omega that a range finder starts from.

Shapes: M rows and N columns of the matrix, L columns of the sketch, B rfft bins (N // 2 + 1).

The subsampled random Fourier transform (SRFT) is Omega = sqrt(N / L) D F R: random signs D, the
discrete Fourier transform F along N, and L sampled coordinates R (Halko, Martinsson and Tropp,
arXiv 0909.4061, section 4.6). Here it is real: F is the orthonormal basis of cosines and sines,
which are the real and imaginary parts of the rfft, so that one bin of each conjugate pair is ever
sampled and Omega^T Omega = (N / L) I always. Signs take the place of HMT's complex phases.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from srft_galore.sending import moved

_KEPT = 16
"""Operators that are kept until `forget_operators`: weights of one shape that are refreshed
together share one, and so do the microbatches of a step. A network has fewer shapes than this."""


class FourierSketch(NamedTuple):
    """The random choices that make one SRFT operator, the same numbers on every device."""

    signs_N: Tensor
    """+1 or -1 per column of the matrix."""
    columns_L: Tensor
    """Sampled real columns, int64: 2 j is the real part of bin j, 2 j + 1 the
    imaginary part. DC and, for even N, Nyquist have no imaginary part."""

    weights_L: Tensor
    """Scale of each sampled column, float64: every column gets the norm sqrt(N / L)."""

    def to(self, device: torch.device, dtype: torch.dtype) -> "FourierSketch":
        """The same on a device, by one transfer that the host does not wait for, with signs and
        weights in another dtype."""
        signs, columns, weights = self
        if device != signs.device:
            packed = torch.cat((signs.double(), columns.double(), weights))  # exact below 2^53
            sizes = [len(part) for part in self]
            signs, columns, weights = moved(packed, device).split(sizes)
        return FourierSketch(signs.to(dtype), columns.to(torch.int64), weights.to(dtype))


def draw_fourier_sketch(n: int, sketch_size: int, generator: torch.Generator) -> FourierSketch:
    """Draw signs and a uniform sample of rfft bins without replacement.

    Bins are taken in random order until `sketch_size` real columns are there; of the last bin
    only the real part is kept where one column is missing.

    Args:
        n: Length of the transform.
        sketch_size: Number of real columns, at most `n`.
        generator: CPU generator.
    """
    assert 1 <= sketch_size <= n
    signs_N = torch.randint(0, 2, (n,), generator=generator, device="cpu") * 2 - 1
    bins_B = torch.randperm(n // 2 + 1, generator=generator, device="cpu")
    columns_B2 = torch.stack((2 * bins_B, 2 * bins_B + 1), dim=1)
    exists_B2 = torch.ones_like(columns_B2, dtype=torch.bool)
    exists_B2[:, 1] = (2 * bins_B) % n != 0  # the sine of DC and of Nyquist is zero everywhere
    columns_L = columns_B2[exists_B2][:sketch_size]
    # A cosine over n points has squared norm n / 2; DC and Nyquist are +-1 throughout and have n.
    squared_L = torch.where((columns_L // 2 * 2) % n == 0, 1, 2).double()
    return FourierSketch(signs_N, columns_L, (squared_L / sketch_size).sqrt())


def sketch_by_fft(G_MN: Tensor, sketch: FourierSketch) -> Tensor:
    """G @ Omega (..., M, L) by a real FFT of every row: O(M N log N), whatever L is."""
    sketch = sketch.to(G_MN.device, G_MN.dtype)
    spectrum_MB = torch.fft.rfft(G_MN * sketch.signs_N, dim=-1)
    real_columns = torch.view_as_real(spectrum_MB).flatten(-2)
    return real_columns.index_select(-1, sketch.columns_L) * sketch.weights_L


def dense_fourier_matrix(sketch: FourierSketch, like: Tensor) -> Tensor:
    """Omega (N, L) written out, in the dtype and on the device of `like`, stored by columns."""
    sketch = sketch.to(like.device, like.dtype)
    n = sketch.signs_N.numel()
    columns_L1 = sketch.columns_L[:, None]
    exact = torch.int32 if n < 2**15.5 else torch.int64  # of bin times place, below n^2 / 2
    times_N = torch.arange(n, device=like.device, dtype=exact)
    # Whole phases first, so that no error grows with n. A sine is a cosine a quarter turn on.
    phases_LN = torch.outer((columns_L1 // 2).flatten().to(exact), times_N).remainder_(n)
    angles_LN = phases_LN.to(like.dtype).mul_(2 * math.pi / n)
    angles_LN += (columns_L1 % 2).to(like.dtype) * (math.pi / 2)
    omega_LN = angles_LN.cos_().mul_(sketch.signs_N)
    return omega_LN.mul_(sketch.weights_L[:, None]).mT


def prefers_dense(m: int, n: int, sketch_size: int) -> bool:
    """Whether a GEMM with the written-out Omega beats the FFT of an m x n matrix.

    Up to 4 log2(n) columns where the matrix is small, and 20 log2(n) where it and its spectrum
    leave the cache. Measured (torch 2.15, one CPU thread, float32, ms of FFT / of building Omega
    and the GEMM): 576x576 l=32 0.5 / 0.5, l=64 0.5 / 0.8, l=128 0.6 / 1.4; 288x864 l=32 0.4 / 0.5;
    576x1728 l=64 6.3 / 2.2, l=148 7.5 / 4.9, l=256 7.3 / 8.0; 1152x3456 l=32 26 / 4.7, l=148
    26 / 16, l=256 26 / 27, and the transpose of a stored matrix at l=256 48 / 26. In operations
    the two are equal at 1.25 log2(n). Not measured on a GPU.
    """
    return sketch_size <= (4 if m * n <= 2**19 else 20) * math.log2(n)


def sketch_srft(G_MN: Tensor, sketch_size: int, seed: int) -> Tensor:
    """G @ Omega (..., M, L) for an SRFT Omega, by the faster of the two ways."""
    m, n = G_MN.shape[-2:]
    if prefers_dense(m, n, sketch_size):
        return times(G_MN, _fourier_matrix(n, sketch_size, seed, G_MN.dtype, G_MN.device))
    drawn = _fourier_sketch(n, sketch_size, seed, G_MN.dtype, G_MN.device)
    return sketch_by_fft(G_MN, drawn)


def sketch_gaussian(G_MN: Tensor, sketch_size: int, seed: int) -> Tensor:
    """G @ Omega (..., M, L) for Omega with independent standard normal entries."""
    return times(G_MN, _gaussian_matrix(G_MN.shape[-1], sketch_size, seed, G_MN.dtype, G_MN.device))


def times(A_MN: Tensor, B_NL: Tensor) -> Tensor:
    """A @ B for a narrow B, with the result stored by columns.

    With B stored by columns too, this form of the product is up to six times faster where L is
    small and A the transpose of a stored matrix (torch 2.15, CPU: 1152 x 3456, L = 4), and never
    slower by more than a few per cent.
    """
    return (B_NL.mT @ A_MN.mT).mT


@functools.lru_cache(maxsize=_KEPT)
def _fourier_sketch(
    n: int, sketch_size: int, seed: int, dtype: torch.dtype, device: torch.device
) -> FourierSketch:
    return draw_fourier_sketch(n, sketch_size, _generator(seed)).to(device, dtype)


@functools.lru_cache(maxsize=_KEPT)
def _fourier_matrix(
    n: int, sketch_size: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    drawn = _fourier_sketch(n, sketch_size, seed, dtype, device)
    return dense_fourier_matrix(drawn, torch.empty((), dtype=dtype, device=device))


@functools.lru_cache(maxsize=_KEPT)
def _gaussian_matrix(
    n: int, sketch_size: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    omega_NL = torch.randn((n, sketch_size), generator=_generator(seed), device="cpu")
    return moved(omega_NL, device).to(dtype)


def forget_operators() -> None:
    """Free the operators that were kept."""
    for kept in (_fourier_sketch, _fourier_matrix, _gaussian_matrix):
        kept.cache_clear()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)
