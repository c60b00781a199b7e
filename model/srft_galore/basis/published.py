"""The projection as the authors of SRFT-GaLore published it (github.com/mobarakol, 2025-11-11).

It is kept for comparison. Two things set it apart from `sketch`: half of the Fourier samples are
thrown away, because of the real and imaginary columns of all k only the first k of 2 k are kept;
and samples are drawn from all n bins of the FFT of real rows, where bins j and n - j carry the
same information. A pair of them inside the part that is kept makes it singular, and QR fills up
with rounding noise. (At k = 128, 0 to 16 directions are lost on the shapes of Hiera-L.)
"""

import torch
from torch import Tensor

from srft_galore.sending import moved


def published_basis(G_MN: Tensor, rank: int, generator: torch.Generator) -> Tensor:
    """Orthonormal Q (..., M, rank), rank <= min(M, N), of G times signs and a complex FFT."""
    n = G_MN.shape[-1]
    signs_N = torch.randint(0, 2, (n,), generator=generator, device="cpu") * 2 - 1
    bins_K = torch.randperm(n, generator=generator, device="cpu")[:rank]
    signs_N, bins_K = (moved(drawn, G_MN.device) for drawn in (signs_N, bins_K))
    spectrum_MN = torch.fft.fft(G_MN * signs_N.to(G_MN), dim=-1)
    Qc_MK: Tensor = torch.linalg.qr(spectrum_MN.index_select(-1, bins_K)).Q
    interleaved = torch.view_as_real(Qc_MK).flatten(-2)  # Re 0, Im 0, Re 1, Im 1, ...
    Q: Tensor = torch.linalg.qr(interleaved).Q
    return Q[..., :rank].clone()
