"""Orthonormal columns for tall matrices, stable on steep, singular and zero ones.

Shapes: S rows, L <= S columns.
"""

import math

import torch
from torch import Tensor

_NOISE = 1e-7
"""Norm of the cosines that are added to every column of norm 1. They bound the condition number by
about sqrt(L) / _NOISE, and turn a direction of relative size s by at most _NOISE / s."""
_SHIFT = 1e-13
"""What is added to the diagonal of the first Gram matrix, whose entries are about 1, for each
column. Cholesky in float64 then never breaks down, and leaves a condition number of some tens,
which two more passes bring down to 1, up to rounding."""


def orthonormalise(Y_SL: Tensor) -> Tensor:
    """Q (..., S, L) with orthonormal columns whose span holds, nearly, that of Y's columns.

    Surplus columns of a singular Y are arbitrary but orthonormal. On a CPU this is Householder QR,
    three to five times faster there (S=576 and 1152, L=4 to 148, one thread) than the Cholesky
    scheme, which takes its place on other devices, where QR works through a batch one by one.
    The two differ by the signs of the columns.
    """
    if Y_SL.device.type == "cpu":
        Q_SL: Tensor = torch.linalg.qr(Y_SL).Q
        return Q_SL
    return cholesky_qr(Y_SL)


def cholesky_qr(Y_SL: Tensor) -> Tensor:
    """As `orthonormalise`, by three passes of Cholesky QR in float64, the first one shifted.

    Matrix products, Cholesky factors and triangular solves only, all of them batched: no loop, no
    host synchronisation. Plain Cholesky QR, twice, breaks down on steep spectra in float32; what
    makes three passes enough is the shift (Fukaya et al., SIAM J. Sci. Comput. 42(1), 2020), and a
    little of a fixed orthonormal cosine basis added to the columns, which bounds the condition
    number of a singular Y.
    """
    columns_SL = Y_SL.double()
    smallest = torch.finfo(torch.float64).tiny
    largest = columns_SL.abs().amax(dim=-2, keepdim=True).clamp_min(smallest)
    columns_SL = columns_SL / largest  # squares of float64 extremes would overflow
    norms = torch.linalg.vector_norm(columns_SL, dim=-2, keepdim=True).clamp_min(smallest)
    columns_SL = columns_SL / norms + _NOISE * _cosines(*Y_SL.shape[-2:], device=Y_SL.device)
    for shift in (_SHIFT * Y_SL.shape[-1], 0.0, 0.0):
        gram_LL = columns_SL.mT @ columns_SL
        gram_LL.diagonal(dim1=-2, dim2=-1).add_(shift)
        lower_LL = torch.linalg.cholesky_ex(gram_LL).L
        columns_SL = torch.linalg.solve_triangular(lower_LL.mT, columns_SL, upper=True, left=False)
    Q_SL: Tensor = columns_SL.to(Y_SL.dtype)
    return Q_SL


def _cosines(rows: int, cols: int, *, device: torch.device) -> Tensor:
    """Orthonormal columns of the discrete cosine transform (DCT-IV), float64."""
    rows_S1 = torch.arange(rows, dtype=torch.float64, device=device)[:, None]
    cols_L = torch.arange(cols, dtype=torch.float64, device=device)
    return torch.cos((rows_S1 + 0.5) * (cols_L + 0.5) * (math.pi / rows)) * math.sqrt(2 / rows)
