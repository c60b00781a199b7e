"""What the parts of a training step ask of a GPU, counted on one that is not there."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from support.fake_cuda.counting import Counts
from support.fake_cuda.device import FakeCuda
from torch import Tensor

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.testing.samples import noise
from segcore.training.loop import Training
from segcore.training.runtime import Runtime, autocast

_DRAWN = ("trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "uniform_")


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave new weights as they lie in memory: drawing hundreds of millions takes seconds."""

    def left(tensor: Tensor, *args: object, **options: object) -> Tensor:
        return tensor

    with ExitStack() as stack:
        for name in _DRAWN:
            stack.enter_context(mock.patch(f"torch.nn.init.{name}", left))
        yield


def begun(
    config: TrainConfig, cuda: FakeCuda, *, images: int = 8, restore_from: Path | None = None
) -> Training:
    """A training on the device, of a few rendered scenes in the place of its own data, whose passes
    are launched kernel by kernel: that is what is counted."""
    data = SyntheticLiver(train=images, val=1, test=1, size=64)
    launched = replace(config, data=data, cuda_graphs=False)
    with undrawn():
        return Training(launched, Runtime(device=cuda.device, restore_from=restore_from))


def counted_parts(config: TrainConfig, cuda: FakeCuda) -> dict[str, Counts]:
    """Forward and backward pass of one microbatch, the optimizer's step and a refresh of bases that
    are there already, and a whole step of the training loop that refreshes nothing."""
    batch_size = config.schedule.batch_size
    training = begun(config, cuda, images=3 * batch_size)
    system, size = training.system, config.system.input_size
    steps = training._train_epoch(1)
    next(steps)  # makes the optimizer's state, and bases
    parts: dict[str, Counts] = {}
    with cuda.counting() as parts["whole step"]:
        next(steps)
    microbatch = training.microbatch_size or batch_size
    batch = noise(microbatch, size, training.dataset.classes).to(cuda.device)
    training.optimizer.zero_grad(set_to_none=True)
    with cuda.counting() as parts["forward"], autocast(cuda.device, config.precision):
        prediction = system(batch, size)
        loss = system.loss(prediction, batch, training._progress())
    with cuda.counting() as parts["backward"]:
        loss.backward()
    with cuda.counting() as parts["optimizer step"]:
        training.optimizer.step()
    for group in training.optimizer.param_groups:
        if "update_proj_gap" in group:
            group["update_proj_gap"] = 1  # always due
    with cuda.counting() as parts["refresh"]:
        training.updater.refresh()
    steps.close()  # type: ignore[attr-defined]
    return parts
