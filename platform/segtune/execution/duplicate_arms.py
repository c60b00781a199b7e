"""Arms whose configurations differ but whose trainings do not: a switch without an effect.

`validate` compares configurations; here networks, losses, optimizers and data are built and
compared. Where building takes longer than a person waits it is left to `validate` alone: at more
than `LARGEST` pixels a side, and for weights that come from files (the paper's scale is both).
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from segcore.batch import Batch, Progress, Prompts, Size
from segcore.classes import ClassSpec
from segcore.methods.method import Method
from segtune.study.overrides import flatten
from segtune.study.spec import Ablation

LARGEST = 256
"""Side of the image up to which networks are built to compare them, pixels."""
BUILT = ("system", "method", "data")
"""Parts of a configuration that are looked at as built. A difference in any other one (schedule,
augmentation, evaluation, clipping) counts as it stands: it shows in the course of a training."""


def find_duplicate_arms(study: Ablation) -> list[str]:
    """One line for each arm that builds the same as another one, which names the fields without an
    effect; and one for each arm that can't be built."""
    configs = {t.arm or "": t.config for t in study.trials({}) if t.seed == study.all_seeds[0]}
    pairs = [p for p in itertools.combinations(configs, 2) if _may_be_alike(*map(configs.get, p))]
    faults, prints = [], {}
    for arm in dict.fromkeys(arm for pair in pairs for arm in pair):
        try:
            prints[arm] = build_fingerprint(configs[arm])
        except ValueError as error:
            faults.append(f"arm {arm}: {error}")
    refused = set()
    for twin, arm in pairs:
        if arm in refused or prints.get(arm) != prints.get(twin) or arm not in prints:
            continue
        refused.add(arm)
        ineffective = ", ".join(_differing(configs[arm], configs[twin]))
        faults.append(
            f"arm {arm} is inert: it differs from {twin} in {ineffective}, and network, loss, "
            f"optimizer and data turn out the same. {ineffective} has no effect beside the rest of "
            "the configuration: leave the arm out, or change what makes it count"
        )
    return faults


def build_fingerprint(config: Any) -> str:
    """A hash of what a configuration builds: two configurations with the same one train alike.

    Compared are the data's content; modules, tensors and what is trained; the optimizer's groups
    with their options; and, away from the start (where an adapter is zero), logits, loss and
    gradients on one batch of noise, and what is predicted of it. A method that acts between steps
    counts by its settings too.
    """
    dataset, _ = config.open_sets()
    seen = hashlib.sha256(dataset.content_hash().encode())
    method = config.method
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        system = config.system.build(dataset.classes)
        method.adapt(system)
        optimizer = method.optimizer(system, config.optim)
        seen.update(repr(system).encode())
        _add(seen, ((n, p) for n, p in system.state_dict().items()))
        names = {id(p): name for name, p in system.named_parameters()}
        trained = [name for name, p in system.named_parameters() if p.requires_grad]
        groups = [
            {**g, "params": [names[id(p)] for p in g["params"]]} for g in optimizer.param_groups
        ]
        settings: list[Any] = [type(optimizer).__name__, groups, trained]
        if _acts_between_steps(method):
            settings.append(flatten(method))
        seen.update(json.dumps(settings, sort_keys=True, default=repr).encode())
        _add(seen, _behaviour(config, system, dataset.classes))
    return seen.hexdigest()


def _behaviour(config: Any, system: Any, classes: ClassSpec) -> Iterator[tuple[str, Tensor]]:
    with torch.no_grad():
        for parameter in system.parameters():
            if parameter.requires_grad:
                parameter += 0.01 * torch.randn_like(parameter)
    size, halfway = config.system.input_size, Progress(step=1, total=2, epoch=1, epochs=2)
    batch = _noise(size, classes)
    system.train()
    prediction = system(batch, size, halfway)
    loss = system.loss(prediction, batch, halfway) + config.method.extra_loss(system)
    loss.backward()
    yield "logits", prediction.logits_BKhw
    yield "loss", loss
    yield from ((n, p.grad) for n, p in system.named_parameters() if p.grad is not None)
    system.eval()
    with torch.no_grad():
        evaluated = system(batch, size)
    yield "evaluated", evaluated.logits_BKhw
    yield from evaluated.maps.items()


def _noise(size: Size, classes: ClassSpec) -> Batch:
    count = len(classes.names)
    labels = torch.randint(count, (2, *size))
    target = torch.nn.functional.one_hot(labels, count).permute(0, 3, 1, 2).float()
    return Batch(
        image_B3HW=torch.rand(2, 3, *size),
        target_BKHW=target,
        sample_ids=("a", "b"),
        patient_ids=("a", "b"),
        depth_B1HW=torch.rand(2, 1, *size),
        prompts=Prompts(
            torch.tensor([[[0.0, 0.0, 1.0, 1.0]]] * 2), torch.ones(2, 1, dtype=torch.bool)
        ),
    )


def _add(seen: Any, tensors: Iterable[tuple[str, Tensor]]) -> None:
    for name, tensor in tensors:
        seen.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        seen.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _acts_between_steps(method: Method) -> bool:
    own = type(method)
    return own.after_step is not Method.after_step or own.extra_loss is not Method.extra_loss


def _may_be_alike(one: Any, other: Any) -> bool:
    """Whether two arms may build the same: they differ in built parts only, have the same choices
    from tables, and are cheap to build."""
    fields = _differing(one, other)
    parts = {field.partition(".")[0] for field in fields}
    named = not any(field in BUILT for field in fields)
    return parts <= set(BUILT) and named and _is_cheap(one) and _is_cheap(other)


def _is_cheap(config: Any) -> bool:
    from_files = [v for k, v in flatten(config.system).items() if k.endswith(".pretrained")]
    return max(config.system.input_size) <= LARGEST and not {"checkpoint", "hub"} & set(from_files)


def _differing(one: Any, other: Any) -> list[str]:
    """Fields, and names chosen from tables, in which two configurations differ."""
    a, b = flatten(one, locations=False), flatten(other, locations=False)
    return sorted(k for k in a.keys() | b.keys() if a.get(k, _differing) != b.get(k, _differing))
