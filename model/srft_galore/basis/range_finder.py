"""Orthonormal bases of the leading left singular space of a matrix.

Shapes: M rows and N columns of the matrix, R = min(rank, M, N), L = min(rank + oversample, M, N)
columns of the sketch.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .gram import leading_left
from .orthonormal import orthonormalise
from .published import published_basis
from .sketch import sketch_gaussian, sketch_srft, times

_SKETCHES: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "srft": sketch_srft,
    "gaussian": sketch_gaussian,
}
SKETCHING = tuple(_SKETCHES)
"""Projectors that start from a sketch G Omega, which is linear in G."""
RANDOM = (*SKETCHING, "srft_published")
"""Projectors that draw a random matrix."""
PROJECTORS = ("srft", "svd", "gaussian", "identity", "srft_published")
"""Names that `range_finder` accepts as `projector`."""


def range_finder(
    G: Tensor,
    rank: int,
    *,
    projector: str = "srft",
    oversample: int = 0,
    power_iterations: int = 0,
    start: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Orthonormal Q (..., M, R) that spans, nearly, the leading left singular space of G.

    The projectors:

    - "svd": the R leading left singular vectors, exactly; on other devices than a CPU by `gram`.
    - "srft": Q from the QR of G Omega, Omega a subsampled random Fourier transform with L real
      columns; see `sketch`. Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.5.
    - "gaussian": the same with independent normal entries in Omega (HMT algorithm 4.1).
    - "identity": the identity of order M, whatever G and `rank` are. A control: a projected
      optimizer with this basis must do what the unprojected one does.
    - "srft_published": the construction of the published SRFT-GaLore code; see `published`.

    Deterministic: the same G, options and seed give the same numbers; torch's global random state
    is neither read nor moved. Every matrix of a batch gets the same Omega. Singular, steep and
    zero matrices give an orthonormal Q too; its surplus columns are then arbitrary.

    Args:
        G: Real, finite matrices (..., M, N); bfloat16 and float16 are computed in float32.
            Finiteness is not checked.
        rank: Columns asked for; clamped to min(M, N). Ignored by "identity".
        projector: One of `PROJECTORS`.
        oversample: Extra columns of the sketch, L - R at most. The R leading directions inside
            the sketched space are kept.
        power_iterations: Times that Q is replaced by the range of G G^T Q, orthonormalised after
            each (HMT algorithm 4.4, without its half steps: they save directions whose energy
            is below the rounding error of the whole). One brings a slowly decaying spectrum to
            within a few per cent of the SVD.
        start: An orthonormal basis (..., M, R) to start from, the one of an earlier gradient: the
            sketch is then [start, G Omega] with L - R random columns, and one more power
            iteration is made. A block power iteration, as in LDAdam (arXiv 2410.16103); the
            random columns are there so that it can leave its old range.
        seed: Of the random Omega, 0 to 2**63 - 1.

    Returns:
        Q, in float64 if G is, else in float32, on the device of G, in storage of its own.

    Raises:
        ValueError: G is no real, non-empty matrix, or an option is unknown, out of range, or
            without effect on this projector.
    """
    check_projection(projector, rank, oversample, power_iterations, seed, warm=start is not None)
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
        if G_MN.device.type != "cpu":
            return leading_left(G_MN, kept)
        if m < n:  # LAPACK takes half as long for the tall one (3456 x 1152, CPU)
            U_MK: Tensor = torch.linalg.svd(G_MN.mT, full_matrices=False).Vh.mT
        else:
            U_MK = torch.linalg.svd(G_MN, full_matrices=False).U
        return U_MK[..., :kept].clone()  # a view would hold all min(M, N) vectors
    if projector == "srft_published":
        return published_basis(G_MN, kept, torch.Generator("cpu").manual_seed(seed))

    sketch_size = min(rank + oversample, m, n)
    if start is None:
        Q_ML = orthonormalise(sketch(G_MN, sketch_size, projector=projector, seed=seed))
        iterations = power_iterations
    else:
        if start.shape != (*G_MN.shape[:-1], kept):
            raise ValueError(
                f"start has shape {tuple(start.shape)}; for this matrix and rank give "
                f"{(*G_MN.shape[:-1], kept)}."
            )
        Q_ML = start.to(G_MN)
        fresh = min(oversample, m - kept, n)
        if fresh:
            random_ML = sketch(G_MN, fresh, projector=projector, seed=seed)
            Q_ML = orthonormalise(torch.cat((Q_ML, random_ML), dim=-1))
        sketch_size = kept + fresh
        iterations = power_iterations + 1
    for left in reversed(range(iterations)):
        Z_NL = times(G_MN.mT, Q_ML)
        Z_NL /= _largest_magnitude(Z_NL)  # G Z would overflow where G is large
        if left == 0 and sketch_size > kept:  # Rayleigh-Ritz, before the product
            Z_NL = times(Z_NL, _leading_eigenvectors(Z_NL, kept))
        Q_ML = orthonormalise(times(G_MN, Z_NL))
    return _truncated(Q_ML, G_MN, kept)


def sketch(G_MN: Tensor, size: int, *, projector: str, seed: int) -> Tensor:
    """G @ Omega (..., M, size): linear in G, so that sketches of parts of G add up to its own.

    Args:
        G_MN: In float32 or float64.
        size: Columns, at most N.
        projector: One of `SKETCHING`.
        seed: Of Omega.
    """
    return _SKETCHES[projector](G_MN, size, seed)


def range_of_sketch(Y_ML: Tensor, rank: int) -> Tensor:
    """Orthonormal Q (..., M, min(rank, L)) of the leading directions of a sketch alone."""
    return _truncated(orthonormalise(Y_ML), Y_ML, min(rank, Y_ML.shape[-1]))


def check_projection(
    projector: object,
    rank: object,
    oversample: object,
    power_iterations: object,
    seed: object,
    *,
    warm: bool,
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
    if warm and projector not in _SKETCHES:
        raise ValueError(
            f"A warm start has no effect with projector={projector!r}; "
            f"start cold, or choose one of {', '.join(_SKETCHES)}."
        )


def check_integer(name: str, value: object, *, least: int) -> None:
    """Refuse anything but an int in [least, 2**63).

    Raises:
        ValueError: Names the option, its value and what is allowed.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise ValueError(f"{name}={value!r} is not allowed; give an int from {least} to 2**63 - 1.")


def _largest_magnitude(Z_NL: Tensor) -> Tensor:
    """The largest magnitude in each matrix (..., 1, 1), or a tiny number where all are zero."""
    return Z_NL.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(Z_NL.dtype).tiny)


def _leading_eigenvectors(Z_NL: Tensor, kept: int) -> Tensor:
    """The `kept` leading eigenvectors (L, kept) of Z^T Z.

    Squaring hides directions below the root of the rounding error, whose energy is below the
    rounding error of the whole.
    """
    vectors_LL: Tensor = torch.linalg.eigh(Z_NL.mT @ Z_NL).eigenvectors
    return vectors_LL[..., -kept:]


def _truncated(Q_ML: Tensor, A_MN: Tensor, kept: int) -> Tensor:
    """Of the range of Q the `kept` leading directions of A within it; Q itself where it has no
    more columns."""
    if Q_ML.shape[-1] == kept:
        return Q_ML
    return Q_ML @ _leading_directions(Q_ML.mT @ A_MN, kept)


def _leading_directions(B_LN: Tensor, kept: int) -> Tensor:
    """The `kept` leading left singular vectors (L, kept) of B, through its L x L triangle.

    The triangle keeps the accuracy that the eigenvectors of B B^T, whose condition is squared,
    would lose, and its SVD is 2 to 5 times cheaper than that of B (L=148, N=576 and 3456, CPU).
    Other devices go through the matrices of a batch one by one there: `gram` takes its place.
    """
    if B_LN.device.type != "cpu":
        return leading_left(B_LN, kept)
    triangle_LL = torch.linalg.qr(B_LN.mT, mode="r").R
    U_LL: Tensor = torch.linalg.svd(triangle_LL.mT).U
    return U_LL[..., :kept]
