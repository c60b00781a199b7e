"""The contract of methods."""

import torch

from segcore.methods.method import Method
from segcore.systems.system import System, SystemConfig
from segcore.testing.configs import check_config
from segcore.testing.samples import HALFWAY, LANDMARKS, noise
from segcore.training.schedule import OptimConfig


def check_method(method: Method, config: SystemConfig) -> None:
    """The contract of `Method` on a system: it lowers the loss, and merging changes nothing."""
    check_config(method)
    torch.manual_seed(0)
    system, size = config.build(LANDMARKS), config.input_size
    batch = noise(2, size)
    system.eval()
    with torch.inference_mode():
        pretrained = system(batch, size).logits_BKhw
    method.adapt(system)
    system.eval()
    with torch.inference_mode():
        adapted = system(batch, size).logits_BKhw
    assert torch.allclose(pretrained, adapted, atol=1e-4), (
        "before the first step the prediction must be that of the pretrained network"
    )
    system.train()
    updater = method.updater(system, OptimConfig(lr=1e-3))
    optimizer = updater.optimizer
    moved = [p for group in optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in moved}) == len(moved), "a parameter is in two groups"
    trained = {id(p) for p in system.parameters() if p.requires_grad}
    assert {id(p) for p in moved} == trained, "the optimizer must move what requires a gradient"
    held = {id(p) for encoder in system.pretrained().values() for p in encoder.parameters()}
    assert method.adapts == bool(trained & held), (
        "adapts must say whether anything in a pretrained encoder moves"
    )
    losses = []
    for step in range(1, 6):
        optimizer.zero_grad()
        loss = system.loss(system(batch, size, HALFWAY), batch, HALFWAY)
        (loss + method.extra_loss(system)).backward()
        updater.refresh()
        optimizer.step()
        method.after_step(system, optimizer, step, 5)
        losses.append(loss.item())
    assert losses[-1] < losses[0], f"five steps did not lower the loss: {losses}"
    system.eval()
    if not method.mergeable:
        _check_no_merge(method, system)
        return
    with torch.inference_mode():
        before = system(batch, size).logits_BKhw
        method.merge(system)
        after = system(batch, size).logits_BKhw
    assert torch.allclose(before, after, atol=1e-3), "merging changes the prediction"
    assert system.state_dict().keys() == config.build(LANDMARKS).state_dict().keys(), (
        "a merged system must have the tensors of an unadapted one"
    )


def _check_no_merge(method: Method, system: System) -> None:
    names = list(system.state_dict())
    try:
        method.merge(system)
    except ValueError:
        assert list(system.state_dict()) == names, "a refused merge must leave all as it is"
        return
    raise AssertionError("a method that is not mergeable must refuse to merge")
