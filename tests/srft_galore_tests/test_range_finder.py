"""range_finder and the operators under it, against exact linear algebra.

References: Halko, Martinsson, Tropp, arXiv 0909.4061 ("HMT").
"""

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from srft_galore import range_finder
from srft_galore.basis.orthonormal import cholesky_qr
from srft_galore.basis.range_finder import range_of_sketch, sketch
from srft_galore.basis.sketch import (
    dense_fourier_matrix,
    draw_fourier_sketch,
    prefers_dense,
    sketch_by_fft,
)

SKETCHES = ("srft", "gaussian")
FINDERS = ("srft", "gaussian", "svd")


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_spectrum(m: int, n: int, singular_values: Tensor, seed: int = 0) -> Tensor:
    """A float64 matrix with Haar singular vectors."""
    k = len(singular_values)
    U = torch.linalg.qr(randn(m, k, seed=seed)).Q
    V = torch.linalg.qr(randn(n, k, seed=seed + 1)).Q
    G: Tensor = (U * singular_values) @ V.mT
    return G


def power_law(length: int, exponent: float) -> Tensor:
    return torch.arange(1, length + 1, dtype=torch.float64) ** -exponent


def error(G: Tensor, Q: Tensor) -> float:
    """||G - Q Q^T G|| (Frobenius), in float64."""
    G, Q = G.double(), Q.double()
    return float(torch.linalg.matrix_norm(G - Q @ (Q.mT @ G)))


def error_ratio(G: Tensor, Q: Tensor, singular_values: Tensor) -> float:
    """Error over the best error that any basis of as many columns can have."""
    return error(G, Q) / float(singular_values[Q.shape[-1] :].square().sum().sqrt())


def deviation(Q: Tensor) -> float:
    """Largest entry of Q^T Q - I."""
    Q = Q.double()
    eye = torch.eye(Q.shape[-1], dtype=torch.float64)
    return float((Q.mT @ Q - eye).abs().max())


# --- the operator ---------------------------------------------------------------------------------


@given(n=st.integers(1, 70), seed=st.integers(0, 2**32), data=st.data())
@settings(max_examples=60, deadline=None)
def test_fft_equals_the_written_out_operator(n: int, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, n))
    sketch = draw_fourier_sketch(n, size, torch.Generator().manual_seed(seed))
    G = randn(3, 5, n, seed=seed % 1000)
    torch.testing.assert_close(
        sketch_by_fft(G, sketch), G @ dense_fourier_matrix(sketch, G), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("n", "size"), [(9, 4), (9, 9), (16, 16), (576, 148), (1152, 128)])
def test_operator_has_orthogonal_columns_of_norm_n_over_l(n: int, size: int) -> None:
    sketch = draw_fourier_sketch(n, size, torch.Generator().manual_seed(3))
    omega = dense_fourier_matrix(sketch, torch.zeros((), dtype=torch.float64))
    eye = torch.eye(size, dtype=torch.float64)
    torch.testing.assert_close(omega.mT @ omega, n / size * eye, rtol=0, atol=1e-10)


def test_operator_is_signs_times_the_discrete_fourier_transform() -> None:
    """Against D F written out as complex exponentials (HMT equation 4.6)."""
    n = 24
    sketch = draw_fourier_sketch(n, n, torch.Generator().manual_seed(1))
    t = torch.arange(n, dtype=torch.float64)
    dft = torch.exp(-2j * math.pi / n * torch.outer(t, t)) / math.sqrt(n)
    omega = dense_fourier_matrix(sketch, t)
    for column, real_column in zip(omega.mT, sketch.columns_L.tolist(), strict=True):
        half = sketch.signs_N * dft[:, real_column // 2]
        expected = half.real if real_column % 2 == 0 else half.imag
        alone = real_column // 2 in (0, n // 2)
        expected = expected * (1 if alone else math.sqrt(2))
        torch.testing.assert_close(column, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [15, 16])
def test_all_bins_give_each_real_column_once(n: int) -> None:
    sketch = draw_fourier_sketch(n, n, torch.Generator().manual_seed(0))
    bins = sketch.columns_L // 2
    expected = {b: 1 if b == 0 or 2 * b == n else 2 for b in range(n // 2 + 1)}
    assert {b: int((bins == b).sum()) for b in expected} == expected
    assert sketch.columns_L.unique().numel() == n
    assert not set(sketch.columns_L.tolist()) & ({1, n + 1} if n % 2 == 0 else {1})


def test_bins_and_signs_are_uniform() -> None:
    n, draws = 16, 2000
    counts = torch.zeros(n // 2 + 1)
    signs = torch.zeros(n)
    for seed in range(draws):
        sketch = draw_fourier_sketch(n, 1, torch.Generator().manual_seed(seed))
        counts[sketch.columns_L[0] // 2] += 1
        signs += sketch.signs_N
    expected = draws / counts.numel()
    # Five standard deviations of a binomial count; of a sum of signs.
    assert float((counts - expected).abs().max()) < 5 * math.sqrt(expected)
    assert float(signs.abs().max()) < 5 * math.sqrt(draws)


def test_both_ways_are_in_use() -> None:
    assert prefers_dense(576, 576, 4)
    assert prefers_dense(1152, 3456, 128)
    assert not prefers_dense(576, 576, 128)
    assert not prefers_dense(1152, 3456, 300)


@pytest.mark.parametrize("rank", [8, 90])
def test_srft_takes_one_operator_whichever_way_it_is_applied(rank: int) -> None:
    G = randn(120, 96)
    sketch = draw_fourier_sketch(96, rank, torch.Generator().manual_seed(5))
    for sample in (sketch_by_fft(G, sketch), G @ dense_fourier_matrix(sketch, G)):
        Q = range_finder(G, rank, seed=5)
        expected = torch.linalg.qr(sample).Q
        torch.testing.assert_close(Q @ Q.mT, expected @ expected.mT, rtol=0, atol=1e-9)


# --- the basis ------------------------------------------------------------------------------------


@given(
    m=st.integers(1, 40),
    n=st.integers(1, 40),
    rank=st.integers(1, 50),
    projector=st.sampled_from(FINDERS),
    oversample=st.integers(0, 6),
    power_iterations=st.integers(0, 2),
    dtype=st.sampled_from((torch.float16, torch.bfloat16, torch.float32, torch.float64)),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=120, deadline=None)
def test_basis_is_orthonormal_and_never_beats_the_best(
    m: int,
    n: int,
    rank: int,
    projector: str,
    oversample: int,
    power_iterations: int,
    dtype: torch.dtype,
    seed: int,
) -> None:
    extra: dict[str, Any] = {"oversample": oversample, "power_iterations": power_iterations}
    G = randn(m, n, seed=seed % 1000).to(dtype)
    Q = range_finder(
        G, rank, projector=projector, seed=seed, **({} if projector == "svd" else extra)
    )
    width = min(rank, m, n)
    assert Q.shape == (m, width)
    assert Q.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert deviation(Q) < (1e-12 if dtype == torch.float64 else 1e-5)
    best = float(torch.linalg.svdvals(G.double())[width:].square().sum().sqrt())
    assert error(G, Q) >= best * (1 - 1e-9) - 1e-12
    if projector == "svd":
        assert error(G, Q) <= best + 1e-4 * float(torch.linalg.matrix_norm(G.double()))


@pytest.mark.parametrize("projector", FINDERS)
@pytest.mark.parametrize(("m", "n"), [(60, 90), (90, 60), (64, 64)])
def test_recovers_a_matrix_of_the_asked_rank(projector: str, m: int, n: int) -> None:
    G = with_spectrum(m, n, torch.linspace(1, 0.5, 12, dtype=torch.float64))
    assert error(G, range_finder(G, 12, projector=projector)) < 1e-11


@pytest.mark.parametrize("projector", SKETCHES)
def test_basis_lies_inside_the_range_of_the_matrix(projector: str) -> None:
    """With more sampled columns than the rank only the surplus may leave range(G)."""
    G = with_spectrum(80, 60, torch.ones(30, dtype=torch.float64))
    inside = torch.linalg.svd(G).U[:, :30]
    for seed in range(10):
        Q = range_finder(G, 20, projector=projector, seed=seed)
        assert error(Q, inside) < 1e-11
        Q = range_finder(G, 20, projector=projector, oversample=20, seed=seed)
        assert error(Q, inside) < 1e-11


@pytest.mark.parametrize("oversample", [0, 10])
@pytest.mark.parametrize("projector", SKETCHES)
def test_error_obeys_the_deterministic_bound(projector: str, oversample: int) -> None:
    """HMT theorem 9.1 for the sketch itself; truncation then adds at most the best error."""
    k, n = 10, 50
    G = with_spectrum(70, n, power_law(n, 1.0))
    svd = torch.linalg.svd(G, full_matrices=False)
    tail = float(svd.S[k:].square().sum().sqrt())
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        size = k + oversample
        if projector == "srft":
            omega = dense_fourier_matrix(draw_fourier_sketch(n, size, generator), G)
        else:
            omega = torch.randn(n, size, generator=generator).double()
        head_sample, tail_sample = svd.Vh[:k] @ omega, svd.Vh[k:] @ omega
        excess = svd.S[k:, None] * (tail_sample @ torch.linalg.pinv(head_sample))
        bound = math.sqrt(tail**2 + float(excess.square().sum()))
        sketched = range_finder(G, size, projector=projector, seed=seed)
        assert error(G, sketched) <= bound * (1 + 1e-9)
        truncated = range_finder(G, k, projector=projector, oversample=oversample, seed=seed)
        # Q_k is the best rank k inside span(Q): (error^2) = (sketch error^2) + (lost inside)^2.
        inside = torch.linalg.svdvals(sketched.mT @ G)[k:].square().sum()
        expected = math.sqrt(error(G, sketched) ** 2 + float(inside))
        assert error(G, truncated) == pytest.approx(expected, rel=1e-9)


@functools.cache
def paper_matrix() -> tuple[Tensor, Tensor]:
    """1728 x 576, singular values 1 / j: the shape of a stage-3 qkv weight of Hiera-L."""
    spectrum = power_law(576, 1.0)
    return with_spectrum(1728, 576, spectrum).float(), spectrum


@pytest.mark.parametrize(
    ("projector", "oversample", "power_iterations", "expected"),
    [
        ("srft", 0, 0, 1.60),
        ("srft", 20, 0, 1.49),
        ("srft", 20, 1, 1.03),
        ("gaussian", 0, 0, 1.61),
        ("gaussian", 20, 0, 1.50),
        ("svd", 0, 0, 1.00),
    ],
)
def test_error_ratio_on_the_paper_shape(
    projector: str, oversample: int, power_iterations: int, expected: float
) -> None:
    """Rank 128; the expected ratios were measured apart, in numpy, one draw each."""
    G, spectrum = paper_matrix()
    options: dict[str, Any] = {"oversample": oversample, "power_iterations": power_iterations}
    ratios = [
        error_ratio(G, range_finder(G, 128, projector=projector, seed=s, **options), spectrum)
        for s in range(1 if projector == "svd" else 2)
    ]
    assert min(ratios) >= 1 - 1e-6
    assert sum(ratios) / len(ratios) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("m", "n", "rank"), [(160, 96, 24), (96, 160, 4)])
def test_srft_is_as_good_as_gaussian_and_gains_from_effort(
    exponent: float, m: int, n: int, rank: int
) -> None:
    spectrum = power_law(96, exponent)
    G = with_spectrum(m, n, spectrum)

    def mean_ratio(projector: str, oversample: int = 0, power_iterations: int = 0) -> float:
        options: dict[str, Any] = {"oversample": oversample, "power_iterations": power_iterations}
        return (
            sum(
                error_ratio(
                    G, range_finder(G, rank, projector=projector, seed=s, **options), spectrum
                )
                for s in range(40)
            )
            / 40
        )

    plain = mean_ratio("srft")  # a mean of 40 scatters by 5 per cent at rank 4
    assert plain == pytest.approx(mean_ratio("gaussian"), rel=0.2)
    assert plain > mean_ratio("srft", oversample=4) > mean_ratio("srft", oversample=12) >= 1
    assert plain > mean_ratio("srft", power_iterations=1) > mean_ratio("srft", power_iterations=2)


def test_decimated_identity_defeats_a_sketch_without_oversampling() -> None:
    """HMT remark 11.2: one row per k-th coordinate of n = k^2 makes all bins repeat after k.

    Two sampled bins of equal remainder are then one direction, so l = k is a coupon collector's
    draw. Zero rows come first so that QR's filling of the gap cannot help.
    """
    k = 12
    G = torch.cat((torch.zeros(60, k * k), torch.eye(k * k)[::k])).double()

    def failures(oversample: int) -> int:
        bases = (range_finder(G, k, oversample=oversample, seed=seed) for seed in range(20))
        return sum(error(G, Q) > 1e-6 for Q in bases)

    assert failures(0) >= 15
    assert failures(30) <= 2


@pytest.mark.parametrize("projector", FINDERS)
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("oversample", [0, 8])
def test_steep_spectra_stay_orthonormal_and_accurate(
    projector: str, scale: float, oversample: int
) -> None:
    spectrum = power_law(200, 2.0)
    G = (with_spectrum(300, 200, spectrum) * scale).float()
    oversample = 0 if projector == "svd" else oversample
    Q = range_finder(G, 128, projector=projector, oversample=oversample)
    assert deviation(Q) < 1e-5
    assert error_ratio(G.double() / scale, Q, spectrum) < 3


@pytest.mark.parametrize("projector", FINDERS)
@pytest.mark.parametrize("oversample", [0, 3])
def test_singular_matrices_give_an_orthonormal_basis(projector: str, oversample: int) -> None:
    options: dict[str, Any] = {"oversample": 0 if projector == "svd" else oversample}
    zero = torch.zeros(20, 12)
    one = torch.ones(20, 12)
    spike = torch.zeros(20, 12)
    spike[3, 4] = 1e-38
    for G in (zero, one, spike):
        Q = range_finder(G, 5, projector=projector, **options)
        assert Q.shape == (20, 5)
        assert deviation(Q) < 1e-5
        assert error(G, Q) <= 1e-5 * float(torch.linalg.matrix_norm(G))


@pytest.mark.parametrize("projector", ["srft", "gaussian", "svd", "identity"])
def test_batch_equals_its_matrices(projector: str) -> None:
    G = randn(2, 3, 24, 17)
    Q = range_finder(G, 6, projector=projector, seed=4)
    for i in range(2):
        for j in range(3):
            one = range_finder(G[i, j], 6, projector=projector, seed=4)
            torch.testing.assert_close(Q[i, j] @ Q[i, j].mT, one @ one.mT)


def test_identity_is_the_identity_whatever_the_rank() -> None:
    assert torch.equal(range_finder(randn(7, 3), 2, projector="identity"), torch.eye(7).double())


def test_an_oblivious_basis_is_far_worse() -> None:
    """The sketch must look at G: random directions hold about rank / m of the energy."""
    G = with_spectrum(160, 96, power_law(96, 1.0))
    random = torch.linalg.qr(randn(160, 16, seed=9)).Q
    assert error(G, random) > 3 * error(G, range_finder(G, 16))


@pytest.mark.parametrize("projector", SKETCHES)
def test_seed_alone_decides(projector: str) -> None:
    G = randn(40, 30)
    first = range_finder(G, 5, projector=projector, seed=7)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = range_finder(G, 5, projector=projector, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.allclose(first, range_finder(G, 5, projector=projector, seed=8))


@pytest.mark.parametrize("projector", ["srft", "gaussian", "svd", "identity"])
def test_basis_owns_just_its_bytes(projector: str) -> None:
    Q = range_finder(randn(40, 30), 5, projector=projector)
    assert Q.untyped_storage().nbytes() == Q.numel() * Q.itemsize


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"projector": "dct"}, "projector='dct'.*srft, svd, gaussian, identity"),
        ({"rank": 0}, "rank=0.*from 1"),
        ({"rank": 2.0}, "rank=2.0"),
        ({"rank": True}, "rank=True"),
        ({"oversample": -1}, "oversample=-1.*from 0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**63}, "seed="),
        ({"projector": "svd", "power_iterations": 1}, "power_iterations=1 has no effect.*'svd'"),
        ({"projector": "identity", "oversample": 2}, "oversample=2 has no effect"),
    ],
)
def test_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        range_finder(randn(6, 5), **{"rank": 2, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "G",
    [
        torch.zeros(5),
        torch.zeros(0, 5),
        torch.zeros(3, 3, dtype=torch.long),
        torch.zeros(3, 3, dtype=torch.cfloat),
    ],
)
def test_what_is_no_real_matrix_is_refused(G: Tensor) -> None:
    with pytest.raises(ValueError, match="non-empty real matrices"):
        range_finder(G, 2)


# --- a warm start ---------------------------------------------------------------------------------


def energy(G: Tensor, Q: Tensor) -> float:
    """Share of ||G||^2 inside the span of Q."""
    G, Q = G.double(), Q.double()
    return float((Q.mT @ G).square().sum() / G.square().sum())


@given(
    m=st.integers(2, 40),
    n=st.integers(2, 40),
    rank=st.integers(1, 12),
    oversample=st.integers(1, 6),
    projector=st.sampled_from(SKETCHES),
    exponent=st.sampled_from((0.5, 1.0, 2.0)),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_warm_start_keeps_at_least_the_energy_of_its_start(
    m: int, n: int, rank: int, oversample: int, projector: str, exponent: float, seed: int
) -> None:
    """One step of a power iteration with Rayleigh-Ritz never loses what it began with."""
    G = with_spectrum(m, n, power_law(min(m, n), exponent), seed=seed)
    old = range_finder(G + 0.1 * randn(m, n, seed=seed + 2) / m, rank, projector="svd")
    options: dict[str, Any] = {"projector": projector, "oversample": oversample, "seed": seed}
    Q = range_finder(G, rank, start=old, **options)
    assert Q.shape == old.shape
    assert deviation(Q) < 1e-12
    assert energy(G, Q) >= energy(G, old) - 1e-9


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("rank", [4, 16])
def test_warm_start_beats_a_cold_one(exponent: float, rank: int) -> None:
    """From the basis of a gradient that has changed by a third since."""
    G = with_spectrum(120, 160, power_law(120, exponent))
    noise = randn(120, 160, seed=5)
    before = G + 0.3 * noise * (torch.linalg.matrix_norm(G) / torch.linalg.matrix_norm(noise))
    old = range_finder(before, rank, projector="svd")
    for seed in range(5):
        cold = range_finder(G, rank, oversample=8, seed=seed)
        warm = range_finder(G, rank, oversample=8, seed=seed, start=old)
        assert energy(G, warm) > energy(G, cold)
        assert energy(G, warm) > energy(G, old)
        assert energy(G, warm) > 0.95 * energy(G, range_finder(G, rank, projector="svd"))


@pytest.mark.parametrize(
    ("m", "n", "rank"), [(40, 30, 4), (30, 40, 4), (12, 5, 5), (12, 5, 4), (30, 40, 25)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_warm_start_leaves_a_range_that_is_orthogonal_to_the_gradient(
    m: int, n: int, rank: int, dtype: torch.dtype
) -> None:
    """A plain block power iteration from such a start would see zeros, and stay."""
    G = randn(m, n).to(dtype)
    G[:rank] = 0
    old = torch.eye(m, dtype=dtype)[:, :rank]
    Q = range_finder(G, rank, oversample=4, start=old, seed=1)
    assert deviation(Q) < 1e-5
    assert energy(G, Q) >= energy(G, range_finder(G, min(rank, 4), seed=1)) - 1e-6


def test_a_warm_batch_equals_its_matrices() -> None:
    G = randn(2, 3, 24, 17)
    start = range_finder(randn(2, 3, 24, 17, seed=8), 6, projector="svd")
    options: dict[str, Any] = {"oversample": 3, "seed": 4}
    Q = range_finder(G, 6, start=start, **options)
    assert Q.shape == start.shape
    for i in range(2):
        for j in range(3):
            one = range_finder(G[i, j], 6, start=start[i, j], **options)
            torch.testing.assert_close(Q[i, j] @ Q[i, j].mT, one @ one.mT)


def test_start_is_not_written_to_and_its_shape_is_checked() -> None:
    G, start = randn(24, 17), range_finder(randn(24, 17, seed=1), 6)
    held = start.clone()
    for oversample in (0, 3):
        Q = range_finder(G, 6, start=start, oversample=oversample)
        assert torch.equal(start, held)
        assert Q.untyped_storage().data_ptr() != start.untyped_storage().data_ptr()
    for wrong in (start[:, :5], start.mT, start[None]):
        with pytest.raises(ValueError, match=r"start has shape .*give \(24, 6\)"):
            range_finder(G, 6, start=wrong)
    with pytest.raises(ValueError, match="warm start has no effect with projector='svd'"):
        range_finder(G, 6, projector="svd", start=start)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_warm_start_stays_orthonormal_on_steep_spectra(scale: float) -> None:
    G = (with_spectrum(90, 70, power_law(70, 4.0)) * scale).float()
    start = range_finder(G, 32)
    Q = range_finder(G, 32, start=start, oversample=8, power_iterations=1)
    assert deviation(Q) < 1e-5
    assert energy(G / scale, Q) > 1 - 1e-6


# --- a sketch alone -------------------------------------------------------------------------------


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 40),
    parts=st.integers(2, 5),
    projector=st.sampled_from(SKETCHES),
)
@settings(max_examples=40, deadline=None)
def test_sketches_of_parts_add_up(n: int, size: int, parts: int, projector: str) -> None:
    """What microbatches and ranks rely on; the sketch is no wider than asked (Dion pads)."""
    size = min(size, n)
    G = [randn(7, n, seed=part) for part in range(parts)]
    Y = [sketch(g, size, projector=projector, seed=3) for g in G]
    whole = sketch(torch.stack(G).sum(0), size, projector=projector, seed=3)
    assert whole.shape == (7, size)
    torch.testing.assert_close(torch.stack(Y).sum(0), whole, rtol=0, atol=1e-11)


def test_range_of_a_sketch_holds_its_leading_directions() -> None:
    Y = with_spectrum(30, 12, power_law(12, 1.0))
    U = torch.linalg.svd(Y, full_matrices=False).U
    for rank in (1, 5, 12, 20):
        Q = range_of_sketch(Y, rank)
        kept = min(rank, 12)
        assert Q.shape == (30, kept)
        assert deviation(Q) < 1e-12
        torch.testing.assert_close(Q @ Q.mT, U[:, :kept] @ U[:, :kept].mT)


@pytest.mark.parametrize("n", [65_536, 131_074])
def test_long_rows_have_exact_phases(n: int) -> None:
    """Embeddings and heads of language models: bin times place exceeds 32 bits."""
    drawn = draw_fourier_sketch(n, 6, torch.Generator().manual_seed(2))
    omega = dense_fourier_matrix(drawn, torch.zeros((), dtype=torch.float64))
    bins, place = drawn.columns_L // 2, torch.arange(n)
    phase = torch.outer(place, bins) % n
    angle = phase.double() * (2 * math.pi / n)
    expected = torch.where(drawn.columns_L % 2 == 0, angle.cos(), -angle.sin())
    expected = expected * drawn.signs_N[:, None] / expected.norm(dim=0) * math.sqrt(n / 6)
    torch.testing.assert_close(omega, expected, rtol=0, atol=1e-9)
    G = randn(2, n)
    torch.testing.assert_close(sketch_by_fft(G, drawn), G @ omega, rtol=0, atol=1e-6)


# --- the published construction -------------------------------------------------------------------


def published_in_numpy(G: Tensor, rank: int, seed: int) -> np.ndarray[Any, Any]:
    """Signs, complex FFT, k of n bins, complex QR, interleave, real QR, the first k columns.

    Written from the description of the published code; the draws are torch's.
    """
    generator = torch.Generator().manual_seed(seed)
    n = G.shape[1]
    signs = (torch.randint(0, 2, (n,), generator=generator) * 2 - 1).numpy()
    bins = torch.randperm(n, generator=generator)[:rank].numpy()
    mixed = np.fft.fft(G.double().numpy() * signs, axis=1)
    Qc = np.linalg.qr(mixed[:, bins])[0]
    both = np.empty((G.shape[0], 2 * rank))
    both[:, 0::2], both[:, 1::2] = Qc.real, Qc.imag
    return np.asarray(np.linalg.qr(both)[0][:, :rank])


@pytest.mark.parametrize(("m", "n", "rank"), [(20, 30, 5), (30, 20, 8), (16, 17, 16), (9, 9, 50)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_srft_published_equals_its_description(m: int, n: int, rank: int, seed: int) -> None:
    """Where no conjugate pair was drawn; column by column, up to a sign."""
    G = randn(m, n, seed=seed)
    Q = range_finder(G, rank, projector="srft_published", seed=seed)
    expected = torch.from_numpy(published_in_numpy(G, min(rank, m, n), seed))
    assert Q.shape == expected.shape
    assert deviation(Q) < 1e-12
    generator = torch.Generator().manual_seed(seed)
    torch.randint(0, 2, (n,), generator=generator)
    bins = torch.randperm(n, generator=generator)[: (min(rank, m, n) + 1) // 2]
    real = {0, n // 2} if n % 2 == 0 else {0}
    clean = 0  # columns before the first singular one: later ones hold rounding noise
    for j, b in enumerate(bins.tolist()):
        if b in real or (-b) % n in bins[:j].tolist():
            break
        clean = 2 * j + 2
    clean = min(clean, Q.shape[1])
    assert clean >= 1 or int(bins[0]) in real
    overlap = (Q * expected).sum(0)[:clean].abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=0, atol=1e-9)


def test_srft_published_loses_dimensions_to_conjugate_pairs() -> None:
    """On a matrix of low rank part of its basis is noise, that of "srft" never."""
    G = with_spectrum(144, 192, torch.ones(96, dtype=torch.float64))
    U = torch.linalg.svd(G, full_matrices=False).U[:, :96]
    lost = []
    for seed in range(10):
        Q = range_finder(G, 64, projector="srft_published", seed=seed)
        outside = (Q - U @ (U.mT @ Q)).norm(dim=0)
        lost.append(int((outside > 0.1).sum()))
        assert error(range_finder(G, 64, seed=seed), U) < 1e-10
    assert sum(lost) > 10


def test_srft_published_takes_batches() -> None:
    G = randn(2, 3, 24, 17)
    Q = range_finder(G, 6, projector="srft_published", seed=4)
    assert Q.untyped_storage().nbytes() == Q.numel() * Q.itemsize
    for i in range(2):
        for j in range(3):
            one = range_finder(G[i, j], 6, projector="srft_published", seed=4)
            torch.testing.assert_close(Q[i, j] @ Q[i, j].mT, one @ one.mT)


# --- Cholesky QR, which other devices than a CPU take ---------------------------------------------


def awkward(kind: str, rows: int, cols: int) -> Tensor:
    Y = randn(rows, cols)
    if kind == "j^-2":
        return with_spectrum(rows, cols, power_law(cols, 2.0))
    if kind == "j^-4":
        return with_spectrum(rows, cols, power_law(cols, 4.0))
    if kind == "low rank":
        return with_spectrum(rows, cols, torch.ones((cols + 1) // 2, dtype=torch.float64))
    if kind == "duplicates":
        return Y[:, :1].expand(rows, cols).clone()
    if kind == "one row":
        return torch.zeros_like(Y).index_fill_(0, torch.tensor([rows // 2]), 1.0)
    if kind == "zero":
        return torch.zeros_like(Y)
    if kind == "zero columns":
        Y[:, ::2] = 0
    if kind == "scaled columns":
        Y *= 10.0 ** torch.linspace(-30, 30, cols, dtype=torch.float64)
    return Y


AWKWARD = (
    "random", "j^-2", "j^-4", "low rank", "duplicates", "one row", "zero", "zero columns",
    "scaled columns",
)  # fmt: skip


@given(
    rows=st.integers(1, 60),
    cols=st.integers(1, 40),
    kind=st.sampled_from(AWKWARD),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    batch=st.sampled_from(((), (3,), (2, 2))),
    scale=st.sampled_from((1e-37, 1e-20, 1.0, 1e20, 1e37)),
)
@settings(max_examples=150, deadline=None)
def test_cholesky_qr_is_orthonormal_whatever_comes(
    rows: int, cols: int, kind: str, dtype: torch.dtype, batch: tuple[int, ...], scale: float
) -> None:
    cols = min(rows, cols)
    if kind == "scaled columns":
        scale = 1.0
    Y = (awkward(kind, rows, cols) * scale).to(dtype).expand(*batch, rows, cols)
    Q = cholesky_qr(Y)
    assert Q.shape == Y.shape
    assert Q.dtype == dtype
    assert deviation(Q) < (1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("kind", ["random", "j^-2", "j^-4"])
@pytest.mark.parametrize(("rows", "cols"), [(40, 7), (160, 32), (200, 128), (32, 32)])
def test_cholesky_qr_spans_what_householder_spans(kind: str, rows: int, cols: int) -> None:
    """Plain Cholesky QR, twice in float32, gives NaN on j^-2 from 32 columns on.

    A direction of relative size s may turn by 1e-7 / s.
    """
    Y = awkward(kind, rows, cols)
    Q, H = cholesky_qr(Y), torch.linalg.qr(Y).Q
    smallest = float(torch.linalg.svdvals(Y / Y.norm(dim=0)).min())
    assert float(torch.linalg.matrix_norm(Q - H @ (H.mT @ Q), ord=2)) < 3e-7 / smallest
    single = cholesky_qr(Y.float())
    assert deviation(single) < 1e-5
    assert error(Y, single) <= error(Y, Q) + 1e-5 * float(torch.linalg.matrix_norm(Y))


@pytest.mark.parametrize("kind", AWKWARD)
def test_cholesky_qr_loses_no_column(kind: str) -> None:
    """The columns of a singular matrix stay inside, to the noise that bounds its condition."""
    Y = awkward(kind, 50, 20)
    Y = Y / Y.norm(dim=0).clamp_min(1e-300)
    assert error(Y, cholesky_qr(Y)) < 1e-5
    assert error(Y, cholesky_qr(Y.float())) < 1e-4


def test_cholesky_qr_breaks_without_shift_or_noise_but_not_with() -> None:
    """The trap itself: two unshifted passes in float32 on a steep spectrum."""
    Y = with_spectrum(200, 128, power_law(128, 2.0)).float()
    X = Y
    for _ in range(2):
        lower = torch.linalg.cholesky_ex(X.mT @ X).L
        X = torch.linalg.solve_triangular(lower.mT, X, upper=True, left=False)
    assert not deviation(X) < 1e-2
    assert deviation(cholesky_qr(Y)) < 1e-5
