"""Adam's moments when the basis changes, against the rules written out."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from srft_galore import GaLoreAdamW
from srft_galore import batches as batches_module

BETAS = (0.8, 0.95)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def optimizer_of(p: nn.Parameter, **options: Any) -> GaLoreAdamW:
    group = {"params": [p], "rank": 3, "update_proj_gap": 4, **options}
    return GaLoreAdamW([group], lr=0.02, betas=BETAS, eps=1e-6, weight_decay=0.1)


def held(optimizer: GaLoreAdamW, p: nn.Parameter) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in optimizer.state[p].items()}


SHAPES = [(12, 7), (7, 12), (9, 9), (6, 4, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("projector", ["svd", "srft"])
def test_rotate_is_ldadams_rule_on_an_aligned_basis(
    shape: tuple[int, ...], blocks: int, projector: str
) -> None:
    """Trap "rotated moment not written back": the state after a refresh is the formula's.

    LDAdam (arXiv 2410.16103): m <- C m, v <- |(C o C)(v - m^2) + (C m)^2| on bias-corrected
    moments; C = P_new^T P_old, here symmetric and positive, as Procrustes alignment makes it.
    """
    if shape[0] % blocks or shape[0] // blocks < 4:
        shape = (12, *shape[1:])
    p = nn.Parameter(randn(*shape))
    rotated = optimizer_of(p, moments="rotate", projector=projector, blocks=blocks)
    q = nn.Parameter(randn(*shape))
    kept = optimizer_of(q, projector=projector, blocks=blocks)
    for step in range(4):
        p.grad, q.grad = randn(*shape, seed=step + 1), randn(*shape, seed=step + 1)
        rotated.step()
        kept.step()
    assert torch.equal(p, q)
    before = held(rotated, p)
    p.grad, q.grad = randn(*shape, seed=9), randn(*shape, seed=9)
    rotated.refresh()
    kept.refresh()
    after = rotated.state[p]
    assert int(after["refreshes"]) == 2

    many = blocks > 1
    rows, cols = shape[0] // blocks, p[0].numel()
    right = rows >= cols
    t = 4
    for b in range(blocks):

        def part(tensor: Tensor, b: int = b) -> Tensor:
            return tensor[b] if many else tensor

        old, new = part(before["basis"]), part(after["basis"])
        raw = part(kept.state[q]["basis"])  # the same span, not aligned
        torch.testing.assert_close(new @ new.mT, raw @ raw.mT, rtol=0, atol=1e-9)
        C = new.mT @ old
        torch.testing.assert_close(C, C.mT, rtol=0, atol=1e-9)
        assert float(torch.linalg.eigvalsh((C + C.mT) / 2).min()) > -1e-9
        assert float((C - torch.eye(len(C), dtype=C.dtype)).abs().max()) > 0.05

        m = part(before["exp_avg"]).clone()
        v = part(before["exp_avg_sq"]).clone()
        if right:
            m, v = m.mT, v.mT
        m, v = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
        new_m = torch.einsum("ij,jk->ik", C, m)
        spread = torch.einsum("ij,jk->ik", C**2, v - m**2)
        new_v = (spread + new_m**2).abs()
        new_m, new_v = new_m * (1 - BETAS[0] ** t), new_v * (1 - BETAS[1] ** t)
        if right:
            new_m, new_v = new_m.mT, new_v.mT
        torch.testing.assert_close(part(after["exp_avg"]), new_m, rtol=0, atol=1e-11)
        torch.testing.assert_close(part(after["exp_avg_sq"]), new_v, rtol=0, atol=1e-11)


def subspace_gradient(shape: tuple[int, int], step: int) -> Tensor:
    """Gradients of rank 3 whose row and column spaces never change."""
    return randn(shape[0], 3, seed=50) @ randn(3, 3, seed=step) @ randn(3, shape[1], seed=51)


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
@pytest.mark.parametrize("refresh_from", ["current", "previous"])
@pytest.mark.parametrize("projector", ["srft", "gaussian"])
def test_rotate_with_an_unchanged_subspace_changes_nothing(
    shape: tuple[int, int], refresh_from: str, projector: str
) -> None:
    """The same weights as without any refresh, though every refresh finds another basis."""
    finals = []
    for gap in (1000, 2):
        p = nn.Parameter(randn(*shape))
        optimizer = optimizer_of(
            p, moments="rotate", update_proj_gap=gap, projector=projector,
            refresh_from=refresh_from,
        )  # fmt: skip
        for step in range(12):
            p.grad = subspace_gradient(shape, step + 1)
            optimizer.step()
        finals.append(p.detach())
        assert int(optimizer.state[p]["refreshes"]) == (1 if gap == 1000 else 6)
    torch.testing.assert_close(*finals, rtol=0, atol=1e-8)
    p = nn.Parameter(randn(*shape))
    keeping = optimizer_of(p, update_proj_gap=2, projector=projector)
    for step in range(12):
        p.grad = subspace_gradient(shape, step + 1)
        keeping.step()
    assert not torch.allclose(p.detach(), finals[0], rtol=0, atol=1e-4)


def test_rotate_projects_away_what_the_new_basis_does_not_see() -> None:
    """From a subspace to one at right angles to it: both moments end at zero."""
    p = nn.Parameter(randn(12, 7))
    optimizer = optimizer_of(p, moments="rotate", update_proj_gap=2, projector="svd")
    eye = torch.eye(7, dtype=torch.float64)
    for step in range(3):
        inside = eye[:3] if step < 2 else eye[3:6]
        p.grad = randn(12, 3, seed=step) @ inside
        if step == 2:
            optimizer.refresh()
            for key in ("exp_avg", "exp_avg_sq"):
                assert float(optimizer.state[p][key].abs().max()) < 1e-12
        optimizer.step()
    assert torch.isfinite(p).all()


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_reset_starts_adam_anew(shape: tuple[int, int], refresh_from: str) -> None:
    """After each refresh the steps are those of a fresh AdamW on the projected gradient."""
    p = nn.Parameter(randn(*shape))
    optimizer = optimizer_of(
        p, moments="reset", update_proj_gap=3, projector="srft", refresh_from=refresh_from
    )
    inner = torch.zeros(1)
    reference: torch.optim.AdamW | None = None
    refreshes = 0
    for step in range(10):
        p.grad = randn(*shape, seed=step + 1)
        G, before = p.grad.clone(), p.detach().clone()
        if refresh_from == "current":
            optimizer.refresh()
        state = held(optimizer, p) if optimizer.state[p] else {}
        optimizer.step()
        if not state or int(state["refreshes"]) == 0:
            continue
        P = state["basis"]
        right = shape[0] >= shape[1]
        R = G @ P if right else P.mT @ G
        if int(state["refreshes"]) != refreshes:
            refreshes = int(state["refreshes"])
            inner = nn.Parameter(torch.zeros_like(R))
            reference = torch.optim.AdamW([inner], lr=0.02, betas=BETAS, eps=1e-6, weight_decay=0.0)
        assert reference is not None
        held_inner = inner.detach().clone()
        inner.grad = R
        reference.step()
        change = inner.detach() - held_inner
        W = (1 - 0.02 * 0.1) * before + (change @ P.mT if right else P @ change)
        torch.testing.assert_close(p.detach(), W, rtol=0, atol=1e-10)
    assert refreshes >= 3


@pytest.mark.parametrize("before", ["keep", "rotate", "reset"])
@pytest.mark.parametrize("after", ["keep", "rotate", "reset"])
@pytest.mark.parametrize("in_banks", [False, True])
def test_what_becomes_of_moments_may_be_edited_on_the_way(
    before: str, after: str, in_banks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next refresh nothing is different: t counts from where the moments began."""
    if in_banks:
        monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    p, q = nn.Parameter(randn(12, 7)), nn.Parameter(randn(12, 7))
    a, b = (optimizer_of(w, moments=before, update_proj_gap=5) for w in (p, q))
    for step in range(10):
        if step == 7:
            a.param_groups[0]["moments"] = after
        for w in (p, q):
            w.grad = randn(12, 7, seed=step)
        a.step()
        b.step()
        torch.testing.assert_close(p, q, rtol=0, atol=0)


@pytest.mark.parametrize("in_banks", [False, True])
def test_rotated_after_a_reset_as_from_the_start(
    in_banks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bias corrections are those of the steps since the reset, in the rotation too."""
    if in_banks:
        monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    p, q = nn.Parameter(randn(12, 7)), nn.Parameter(randn(12, 7))
    late, early = (optimizer_of(w, moments="rotate", projector="svd") for w in (p, q))
    late.param_groups[0]["moments"] = "reset"
    for step in range(8):
        p.grad = randn(12, 7, seed=100 + step)
        late.step()
    for step in range(6):  # the first of these resets
        for w, optimizer in ((p, late), (q, early)):
            w.grad = randn(12, 7, seed=step)
            optimizer.step()
            if step == 0:
                w.data.copy_(randn(12, 7))
        late.param_groups[0]["moments"] = "rotate"
    torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("moments", ["keep", "rotate", "reset"])
def test_first_refresh_finds_no_moments(moments: str) -> None:
    """Also after zero gradients, which count as steps."""
    p, q = nn.Parameter(randn(12, 7)), nn.Parameter(randn(12, 7))
    a, b = optimizer_of(p, moments=moments), optimizer_of(q)
    for step in range(4):
        for w in (p, q):
            w.grad = randn(12, 7, seed=step) * (step > 0)
        a.step()
        b.step()
        if step == 0 or moments != "reset":
            torch.testing.assert_close(p, q, rtol=0, atol=1e-12)
    assert int(a.state[p]["refreshes"]) == 1


@given(
    rows=st.integers(2, 10),
    cols=st.integers(2, 10),
    rank=st.integers(1, 12),
    moments=st.sampled_from(("keep", "rotate", "reset")),
    start=st.sampled_from(("cold", "warm")),
    side=st.sampled_from(("short", "left", "right", "input")),
    gap=st.integers(1, 3),
    dtype=st.sampled_from((torch.float32, torch.float64, torch.bfloat16)),
)
@settings(max_examples=25, deadline=None)
def test_moments_stay_finite_and_second_ones_positive(
    rows: int,
    cols: int,
    rank: int,
    moments: str,
    start: str,
    side: str,
    gap: int,
    dtype: torch.dtype,
) -> None:
    p = nn.Parameter(randn(rows, cols).to(dtype))
    optimizer = optimizer_of(
        p, rank=rank, moments=moments, start=start, oversample=2, side=side, update_proj_gap=gap
    )
    for step in range(8):
        p.grad = (randn(rows, cols, seed=step) * 10.0 ** (3 * (step % 3) - 3)).to(dtype)
        before = p.detach().clone()
        optimizer.step()
        state = optimizer.state[p]
        assert torch.isfinite(state["exp_avg"]).all()
        assert float(state["exp_avg_sq"].min()) >= 0
        # |m| / sqrt(v) of Adam is bounded; a back-projected row by sqrt(rank) times that.
        assert float((p.detach() - before).abs().max()) < 0.02 * 8 * (rows * cols) ** 0.5 + 0.1


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_signs_of_singular_vectors_change_nothing(
    side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decomposition leaves them open; GaLore as published takes them as they come."""
    factored = torch.linalg.svd

    def trained(signs: str, flips: int) -> Tensor:
        random = torch.Generator().manual_seed(flips)

        def svd(A: Tensor, full_matrices: bool = True) -> Any:
            U, S, Vh = factored(A, full_matrices=full_matrices)
            flip = torch.ones_like(S)
            if flips:
                flip -= 2 * torch.randint(0, 2, S.shape, generator=random)
            return SimpleNamespace(U=U * flip, S=S, Vh=(Vh.mT * flip).mT)

        monkeypatch.setattr(torch.linalg, "svd", svd)
        p = nn.Parameter(torch.zeros(8, 6, dtype=torch.float64))
        group = {"params": [p], "rank": 3, "projector": "svd", "side": side, "signs": signs}
        optimizer = GaLoreAdamW([{**group, "update_proj_gap": 2}], lr=0.1)
        for step in range(8):
            random_of_step = torch.Generator().manual_seed(step + 2)
            drift = torch.randn(8, 6, generator=random_of_step, dtype=torch.float64)
            p.grad = torch.arange(48.0, dtype=torch.float64).sin().view(8, 6) + 0.05 * drift
            optimizer.step()
        return p.detach()

    flipped = trained("aligned", 7)
    # The first basis is as it comes: all that follows is a mirror image of it, and AdamW's step is
    # odd, so that the weights are the same.
    torch.testing.assert_close(flipped, trained("aligned", 0), rtol=0, atol=1e-12)
    assert not torch.allclose(trained("free", 7), trained("free", 0), atol=1e-3)
