"""Leading singular vectors by way of a Gram matrix, for devices whose SVD is a loop.

Shapes: S rows and T columns of the matrix, K vectors.
"""

import torch
from torch import Tensor

from .orthonormal import cholesky_qr


def leading_left(A_ST: Tensor, kept: int) -> Tensor:
    """The leading left singular vectors (..., S, kept) of A, the one of the largest value first.

    Eigenvectors of the smaller Gram matrix in float64: its condition is squared, so that directions
    below 1e-8 of the largest are not told apart, which float32 would not show of A itself. One
    batched product, one batched eigendecomposition, and for a tall A one product more, made
    orthonormal (`cholesky_qr`, which turns vectors by some 1e-7). Surplus vectors of a singular A
    are arbitrary but orthonormal. Signs are those that the eigenvectors have.

    Args:
        A_ST: Finite real matrices.
        kept: At most min(S, T).
    """
    wide = A_ST.double()
    if A_ST.shape[-2] <= A_ST.shape[-1]:
        vectors_SK = _leading_eigenvectors(wide @ wide.mT, kept)
    else:
        vectors_SK = cholesky_qr(wide @ _leading_eigenvectors(wide.mT @ wide, kept))
    return vectors_SK.to(A_ST.dtype)


def nearest_rotation(A_KK: Tensor) -> Tensor:
    """The orthogonal matrix nearest to A (..., K, K): U V^T of its singular vectors."""
    wide = A_KK.double()
    vectors_KK = _leading_eigenvectors(wide.mT @ wide, A_KK.shape[-1])
    turned: Tensor = cholesky_qr(wide @ vectors_KK) @ vectors_KK.mT
    return turned.to(A_KK.dtype)


def _leading_eigenvectors(gram: Tensor, kept: int) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(gram).eigenvectors  # by ascending eigenvalues
    return vectors[..., -kept:].flip(-1)
