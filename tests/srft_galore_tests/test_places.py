"""Where parameters stand is planned once, and anew only where a group has changed."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from srft_galore import GaLoreAdamW
from srft_galore.state import plan


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many parameters were planned since it was called last."""
    calls = [0]

    def counted(*given: object) -> object:
        calls[0] += 1
        return plan(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("srft_galore.entries.plan", counted)

    def since_then() -> int:
        count, calls[0] = calls[0], 0
        return count

    return since_then


def model() -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(6, 6) for _ in range(5)))


def step(net: nn.Module, optimizer: GaLoreAdamW) -> None:
    net(torch.ones(2, 6)).square().sum().backward()
    optimizer.refresh()
    optimizer.clip_grad_norm_(1.0)
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_a_step_plans_nothing_anew(refresh_from: str, planned: Callable[[], int]) -> None:
    net = model()
    group = {"params": net.parameters(), "rank": 2, "update_proj_gap": 2}
    options = {"refresh_from": refresh_from, "start": "warm", "oversample": 1, "stagger": True}
    optimizer = GaLoreAdamW([{**group, **options}])
    if refresh_from == "previous":
        optimizer.attach(net)
    step(net, optimizer)
    assert planned() == 10
    for _ in range(4):
        step(net, optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
    step(net, optimizer)
    assert planned() == 0
    late = nn.Linear(6, 6)
    optimizer.add_param_group({"params": late.parameters()})
    net.append(late)
    step(net, optimizer)
    assert planned() == 12


def test_an_edited_group_is_planned_anew() -> None:
    """Phases follow the interval, for hooks of the backward pass as for the step."""
    torch.manual_seed(0)
    attached, apart = model(), model()
    apart.load_state_dict(attached.state_dict())
    optimizers = []
    for net in (attached, apart):
        weights = [p for p in net.parameters() if p.dim() == 2]
        group = {"params": weights, "rank": 2, "update_proj_gap": 9, "stagger": True}
        optimizers.append(GaLoreAdamW([{**group, "refresh_from": "previous"}]))
    optimizers[0].attach(attached)
    for gap in (9, 2, 4, 3, 2, 5, 2):
        for net, optimizer in zip((attached, apart), optimizers, strict=True):
            optimizer.param_groups[0]["update_proj_gap"] = gap
            step(net, optimizer)
    counts = [[int(o.state_dict()["state"][i]["refreshes"]) for i in range(5)] for o in optimizers]
    assert counts[0] == counts[1]
    assert len(set(counts[0])) > 1, "they take turns"
    for p, q in zip(attached.parameters(), apart.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_parameter_in_anothers_place_is_seen() -> None:
    net, other = model(), nn.Linear(6, 6)
    optimizer = GaLoreAdamW([{"params": [p for p in net.parameters() if p.dim() == 2], "rank": 2}])
    step(net, optimizer)
    optimizer.param_groups[0]["params"][0] = other.weight
    held = other.weight.detach().clone()
    other(torch.ones(2, 6)).sum().backward()
    step(net, optimizer)
    assert not torch.equal(other.weight, held)
