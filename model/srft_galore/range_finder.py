"""Orthonormal bases of the leading left singular space of a matrix.

Shapes: M rows and N columns of the matrix, R = min(rank, M, N), L = min(rank + oversample, M, N)
columns of the sketch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .sketch import sketch_gaussian, sketch_srft

_SKETCHES: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "srft": sketch_srft,
    "gaussian": sketch_gaussian,
}
PROJECTORS = ("srft", "svd", "gaussian", "identity")
"""Names that `range_finder` accepts as `projector`."""


def range_finder(
    G: Tensor,
    rank: int,
    *,
    projector: str = "srft",
    oversample: int = 0,
    power_iterations: int = 0,
    seed: int = 0,
) -> Tensor:
    """Orthonormal Q (..., M, R) that spans, nearly, the leading left singular space of G.

    The projectors:

    - "svd": the R leading left singular vectors, exactly.
    - "srft": Q from the QR of G Omega, Omega a subsampled random Fourier transform with L real
      columns; see `sketch`. Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.5.
    - "gaussian": the same with independent normal entries in Omega (HMT algorithm 4.1).
    - "identity": the identity of order M, whatever G and `rank` are. A control: a projected
      optimizer with this basis must do what the unprojected one does.

    Deterministic: the same G, options and seed give the same numbers; torch's global random state
    is neither read nor moved. Every matrix of a batch gets the same Omega. Singular, steep and
    zero matrices give an orthonormal Q too (its surplus columns are then arbitrary), because
    Householder QR does not divide by small norms.

    Args:
        G: Real, finite matrices (..., M, N); bfloat16 and float16 are computed in float32.
            Finiteness is not checked.
        rank: Columns asked for; clamped to min(M, N). Ignored by "identity".
        projector: "srft", "svd", "gaussian" or "identity".
        oversample: Extra columns of the sketch. With any, the R leading directions inside the
            sketched space are kept, found by the SVD of Q^T G.
        power_iterations: Times that Q is replaced by the range of G G^T Q (HMT algorithm 4.4,
            orthonormalised at every half step). One brings a slowly decaying spectrum to within
            a few per cent of the SVD.
        seed: Of the random Omega, 0 to 2**63 - 1.

    Returns:
        Q, in float64 if G is, else in float32, on the device of G, in storage of its own.

    Raises:
        ValueError: G is no real, non-empty matrix, or an option is unknown, out of range, or
            without effect on this projector.
    """
    check_projection(projector, rank, oversample, power_iterations, seed)
    if G.dim() < 2 or G.numel() == 0 or not G.is_floating_point():
        raise ValueError(
            f"range_finder needs non-empty real matrices (..., m, n), "
            f"got shape {tuple(G.shape)} of {G.dtype}."
        )
    G_MN = G.to(torch.promote_types(G.dtype, torch.float32))
    m, n = G_MN.shape[-2:]
    if projector == "identity":
        eye_MM = torch.eye(m, dtype=G_MN.dtype, device=G_MN.device)
        return eye_MM.expand(*G_MN.shape[:-2], m, m).clone()
    kept = min(rank, m, n)
    if projector == "svd":
        U_MK: Tensor = torch.linalg.svd(G_MN, full_matrices=False).U
        return U_MK[..., :kept].clone()  # a view would hold all min(M, N) vectors

    sketch_size = min(rank + oversample, m, n)
    generator = torch.Generator().manual_seed(seed)
    Q_ML = _orthonormal(_SKETCHES[projector](G_MN, sketch_size, generator))
    for _ in range(power_iterations):
        Q_ML = _orthonormal(G_MN @ _orthonormal(G_MN.mT @ Q_ML))
    if sketch_size == kept:
        return Q_ML
    return Q_ML @ _leading_directions(Q_ML.mT @ G_MN, kept)


def check_projection(
    projector: object, rank: object, oversample: object, power_iterations: object, seed: object
) -> None:
    """Refuse options that `range_finder` does not know or that would change nothing.

    Raises:
        ValueError: Names the option, its value, what is allowed, and what to do.
    """
    if projector not in PROJECTORS:
        raise ValueError(
            f"projector={projector!r} is unknown; choose one of {', '.join(PROJECTORS)}."
        )
    check_integer("rank", rank, least=1)
    check_integer("seed", seed, least=0)
    for name, value in (("oversample", oversample), ("power_iterations", power_iterations)):
        check_integer(name, value, least=0)
        if value != 0 and projector not in _SKETCHES:
            raise ValueError(
                f"{name}={value} has no effect with projector={projector!r}; "
                f"set it to 0, or choose one of {', '.join(_SKETCHES)}."
            )


def check_integer(name: str, value: object, *, least: int) -> None:
    """Refuse anything but an int in [least, 2**63).

    Raises:
        ValueError: Names the option, its value and what is allowed.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise ValueError(f"{name}={value!r} is not allowed; give an int from {least} to 2**63 - 1.")


def _orthonormal(Y_ML: Tensor) -> Tensor:
    """Q of the Householder QR. Cholesky QR, even twice, fails on sketches of steep spectra."""
    Q_ML: Tensor = torch.linalg.qr(Y_ML).Q
    return Q_ML


def _leading_directions(B_LN: Tensor, kept: int) -> Tensor:
    """The `kept` leading left singular vectors (L, kept) of B, through its L x L triangle.

    The triangle keeps the accuracy that the eigenvectors of B B^T, whose condition is squared,
    would lose, and its SVD is 2 to 5 times cheaper than that of B (L=148, N=576 and 3456, CPU).
    """
    triangle_LL = torch.linalg.qr(B_LN.mT, mode="r").R
    U_LL: Tensor = torch.linalg.svd(triangle_LL.mT).U
    return U_LL[..., :kept]
