"""Where parameters stand is planned once, and anew only where a group has changed."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from srft_galore import GaLoreAdamW, entries
from srft_galore.refresh.schedule import staggered_phases


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many parameters were planned since it was called last."""
    plan, calls = entries.plan, [0]

    def counted(*given: object) -> object:
        calls[0] += 1
        return plan(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(entries, "plan", counted)

    def since_then() -> int:
        count, calls[0] = calls[0], 0
        return count

    return since_then


def model() -> nn.Module:
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
    """Phases follow the interval, in the backward pass too."""
    net = model()
    weights = [p for p in net.parameters() if p.dim() == 2]
    group = {"params": weights, "rank": 2, "update_proj_gap": 9, "stagger": True}
    optimizer = GaLoreAdamW([{**group, "refresh_from": "previous"}])
    optimizer.attach(net)
    step(net, optimizer)
    optimizer.param_groups[0]["update_proj_gap"] = 3
    phases = staggered_phases((36,) * 5, 3)
    refreshed: list[list[int]] = []
    for _ in range(6):
        before = [int(optimizer.state[p]["refreshes"]) for p in weights]
        step(net, optimizer)
        after = [int(optimizer.state[p]["refreshes"]) for p in weights]
        refreshed.append([i for i in range(5) if after[i] > before[i]])
    steps = [int(optimizer.state[p]["step"]) for p in weights]
    assert len(set(steps)) == 1
    last = steps[0] + 1
    for number, some in enumerate(refreshed, start=last - 6):
        assert some == [i for i in range(5) if phases[i] == number % 3]


def test_a_parameter_in_anothers_place_is_seen() -> None:
    net, other = model(), nn.Linear(6, 6)
    optimizer = GaLoreAdamW([{"params": [p for p in net.parameters() if p.dim() == 2], "rank": 2}])
    step(net, optimizer)
    optimizer.param_groups[0]["params"][0] = other.weight
    held = other.weight.detach().clone()
    other(torch.ones(2, 6)).sum().backward()
    step(net, optimizer)
    assert not torch.equal(other.weight, held)
