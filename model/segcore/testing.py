"""The contract tests of segcore's tables, for whoever adds a row of their own.

    from segcore.testing import check_method, check_system

    def test_my_system_keeps_the_contract() -> None:
        check_system(MySystemConfig())

Each raises an AssertionError that says which promise is broken. This project's own tests run them
over every row.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segcore.batch import FINISHED, Batch, Prediction, Progress, Prompts, Size
from segcore.classes import ClassSpec
from segcore.config import from_json, to_json
from segcore.data import DATASETS
from segcore.data.dataset import SPLITS, DataConfig, Sample
from segcore.losses.loss import Loss
from segcore.methods.method import Method, head_parameters
from segcore.metrics.metric import Metric, Pair
from segcore.registry import Choice
from segcore.systems import SYSTEMS
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, RgbEncoderConfig
from segcore.systems.system import System, SystemConfig
from segcore.tables import Trait
from segcore.training.schedule import OptimConfig
from segcore.transforms.transform import Transform

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)
HALFWAY = Progress(step=1, total=2, epoch=1, epochs=2)


def noise(samples: int, size: Size, classes: ClassSpec = LANDMARKS, *, seed: int = 0) -> Batch:
    """A batch with everything that a system may look at: image, depth and boxes.

    Args:
        samples: in the batch.
        size: of image, depth and target.
        classes: of the target.
        seed: the same seed gives the same batch.
    """
    random = np.random.default_rng(seed)
    bits = len(classes.names) if classes.exclusive else 2 ** len(classes.names)
    labels_BHW = random.integers(0, bits, (samples, *size)).astype(np.uint8)
    names = tuple(f"sample {i}" for i in range(samples))

    def uniform(channels: int) -> Tensor:
        return torch.from_numpy(random.uniform(size=(samples, channels, *size)).astype(np.float32))

    boxes = torch.tensor([[[0.1, 0.2, 0.8, 0.9]]]).repeat(samples, len(classes.foreground), 1)
    return Batch(
        image_B3HW=uniform(3),
        target_BKHW=torch.from_numpy(classes.targets(labels_BHW)),
        sample_ids=names,
        patient_ids=names,
        depth_B1HW=uniform(1),
        prompts=Prompts(boxes, torch.ones(boxes.shape[:2], dtype=torch.bool)),
    )


def check_config(config: Choice) -> None:
    """A configuration goes through JSON, and says which row it is."""
    name = config.name
    assert type(config).choice(name) is type(config), f"{name} is registered for another class"
    values = to_json(config)
    assert values["name"] == name, "the name must be in the JSON"
    base = next(c for c in type(config).__mro__ if "table" in c.__dict__)
    assert from_json(base, values) == config, "what was written must be read back the same"


def check_system(config: SystemConfig, classes: Sequence[ClassSpec] = (LANDMARKS, ORGANS)) -> None:
    """The contract of `System`, on the CPU, with the network built once for each class spec."""
    check_config(config)
    for spec in classes:
        torch.manual_seed(0)
        system = config.build(spec)
        _check_row(config, system)
        _check_sizes(config, system, spec)
        _check_parts(system)
        _check_loss(config, system, spec)
        _check_evaluation(config, system, spec)


def lacking(system: System) -> set[Trait]:
    """What methods may need and a system has nothing of."""
    there: dict[Trait, bool] = {
        "pretrained weights": any([*m.parameters()] for m in system.pretrained().values()),
        "layers to adapt": bool(system.adaptable("attention+mlp")),
        "queries and values": bool(system.fused_qkv() or system.separate_qv()),
    }
    return {trait for trait, found in there.items() if not found}


def _check_row(config: SystemConfig, system: System) -> None:
    """The row lacks nothing that is there: methods that need it would be refused."""
    wrong = sorted(set(SYSTEMS[config.name].lacks) - lacking(system))
    assert not wrong, f"the row of {config.name} lacks {', '.join(wrong)}, and the system has them"


def _check_sizes(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """Logits have the size that is asked for, square or not, smaller or larger than the input, and
    are float32 where the network computes in bfloat16."""
    height, width = config.input_size
    batch = noise(2, config.input_size, classes)
    for size, coarse in ((config.input_size, False), ((height // 2, width + 7), True)):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            logits = system(batch, size, HALFWAY).logits_BKhw
        wanted = (2, len(classes.names), *size)
        assert logits.shape == wanted, f"asked for {wanted}, got {tuple(logits.shape)}"
        assert logits.dtype == torch.float32, "logits are float32 before they are resized"


def _check_parts(system: System) -> None:
    """Every parameter is in exactly one part, and what may be adapted is pretrained."""
    seen: dict[int, str] = {}
    for name, part in system.parts().items():
        assert system.get_submodule(name) is part.module, f"part {name} is not at its path"
        assert part.rate > 0, f"part {name} has the rate {part.rate}"
        for parameter in part.module.parameters():
            assert id(parameter) not in seen, f"{name} and {seen[id(parameter)]} share a parameter"
            seen[id(parameter)] = name
    left = [name for name, p in system.named_parameters() if id(p) not in seen]
    assert not left, f"in no part: {', '.join(left)}"
    pretrained = {id(m) for part in system.pretrained().values() for m in part.modules()}
    attention, both = system.adaptable("attention"), system.adaptable("attention+mlp")
    assert attention.items() <= both.items(), "attention must be among attention+mlp"
    for path, module in both.items():
        assert system.get_submodule(path) is module, f"{path} is another module"
        assert id(module) in pretrained, f"{path} may be adapted and is not pretrained"
    assert system.fused_qkv().items() <= attention.items(), "fused_qkv must be among attention"
    assert system.separate_qv().items() <= attention.items(), "separate_qv must be among attention"


def _check_loss(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """The loss is a mean over samples, and gives every head parameter a gradient."""
    system.train()
    batch, size = noise(3, config.input_size, classes), config.input_size
    torch.manual_seed(1)
    whole = system.loss(system(batch, size, HALFWAY), batch, HALFWAY)
    assert whole.isfinite(), "the loss of noise is no number"
    parts = []
    for i in range(3):
        torch.manual_seed(1)
        one = batch.take([i])
        parts.append(system.loss(system(one, size, HALFWAY), one, HALFWAY))
    mean = torch.stack(parts).mean()
    assert torch.allclose(whole, mean, rtol=1e-3), f"a batch's loss is {whole}, its mean {mean}"
    whole.backward()
    without = [p for p in head_parameters(system) if p.requires_grad and p.grad is None]
    assert not without, f"{len(without)} head parameters have no gradient"
    system.zero_grad()


def _check_evaluation(config: SystemConfig, system: System, classes: ClassSpec) -> None:
    """A sample's prediction depends on the sample alone."""
    system.eval()
    batch, size = noise(3, config.input_size, classes), config.input_size
    with torch.inference_mode():
        torch.manual_seed(2)
        together = system(batch, size, FINISHED)
        state = torch.get_rng_state()
        torch.manual_seed(3)
        alone = system(batch.take([1]), size, FINISHED)
    close = torch.allclose(together.logits_BKhw[1], alone.logits_BKhw[0], atol=1e-4)
    assert close, "the prediction of a sample depends on the others or on the random state"
    torch.manual_seed(2)
    assert torch.equal(torch.get_rng_state(), state), "evaluation draws from the global RNG"
    for name, map_B1hw in together.maps.items():
        assert map_B1hw.ndim == 4, f"map {name} must be (B, 1, h, w)"
        assert map_B1hw.shape[:2] == (3, 1), f"map {name} must be (B, 1, h, w)"
        assert 0 <= map_B1hw.min() <= map_B1hw.max() <= 1, f"map {name} must lie in [0, 1]"


def check_rgb_encoder(config: RgbEncoderConfig) -> None:
    """The contract of `RgbEncoder`, at the smallest side from 64 pixels on: its levels, its parts,
    and that a sample's features are its own."""
    check_config(config)
    torch.manual_seed(0)
    side = config.size_multiple * -(-64 // config.size_multiple)
    encoder = config.build(side).eval()
    image_B3HW = noise(2, (side, side)).image_B3HW
    with torch.inference_mode():
        features, positions = encoder(image_B3HW)
        alone, _ = encoder(image_B3HW[1:])
    assert tuple(features) == tuple(positions) == STRIDES, f"levels must be of strides {STRIDES}"
    for stride, level in features.items():
        wanted = (2, config.width, side // stride, side // stride)
        assert level.shape == wanted, f"at stride {stride}: wanted {wanted}, got {level.shape}"
        assert positions[stride].shape[1:] == wanted[1:], f"at stride {stride}: codes of {wanted}"
        assert torch.allclose(level[1], alone[stride][0], atol=1e-4), "a sample sees the others"
    parts = encoder.parts()
    assert not any(part.role == "tuned" for part in parts.values()), "no part may be tuned"
    held = [id(p) for part in parts.values() for p in part.module.parameters()]
    assert sorted(held) == sorted(map(id, encoder.parameters())), "each parameter is in one part"
    own = [p.module for p in parts.values() if p.role == "pretrained"]
    pretrained = {id(m) for module in own for m in module.modules()}
    attention, both = encoder.adaptable("attention"), encoder.adaptable("attention+mlp")
    assert attention, "it must have projections to adapt"
    assert attention.items() < both.items(), "attention must be among attention+mlp"
    for path, module in both.items():
        assert encoder.get_submodule(path) is module, f"{path} is another module"
        assert id(module) in pretrained, f"{path} may be adapted and is not pretrained"


def check_depth_encoder(config: DepthEncoderConfig) -> None:
    """The contract of `DepthEncoder`: one map, and features that are kept are the same."""
    check_config(config)
    torch.manual_seed(0)
    encoder, image_B3HW = config.build().eval(), noise(2, (64, 96)).image_B3HW
    assert not encoder.frozen, "it begins with weights that may move"
    encoder.requires_grad_(False)
    assert encoder.frozen, "frozen must tell"
    with torch.inference_mode():
        found = encoder(image_B3HW)
        alone = encoder(image_B3HW[1:])
        kept = [encoder(image_B3HW[1:], ("b",)) for _ in range(2)]
    assert found.ndim == 4, "one map (B, C, h, w)"
    assert found.shape[:2] == (2, config.width), f"wanted {config.width} channels"
    assert torch.allclose(found[1], alone[0], atol=1e-4), "a sample sees the others"
    assert all(torch.equal(one, alone) for one in kept), "kept features must be the same"


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


def check_dataset(config: DataConfig) -> None:
    """The contract of `Dataset`, on the whole set."""
    check_config(config)
    dataset, again = config.open(), config.open()
    told = "depth maps" in DATASETS[config.name].lacks
    assert not (told and dataset.has_depth), "the row lacks depth maps, and the set has them"
    assert dataset.content_hash() == again.content_hash(), "the same data must have one hash"
    for split in SPLITS:
        ids, sources = dataset.ids(split), dataset.sources(split)
        assert list(ids) == list(again.ids(split)), f"the order of {split} must be fixed"
        assert list(sources) == list(ids), f"every image of {split} must have a source"
        for sample_id in list(ids)[:2]:
            own = dataset.load(split, sample_id, None)
            half = dataset.load(split, sample_id, (16, 24))
            assert own.sample_id == half.sample_id == sample_id
            assert own.case_id == (sources[sample_id].case_id or sample_id), "the case differs"
            assert own.image_HW3.shape[:2] == own.labels_HW.shape, "image and labels differ"
            assert half.image_HW3.shape == (16, 24, 3), "load must give the size asked for"
            assert half.labels_HW.shape == (16, 24), "load must give the size asked for"
            top = len(dataset.classes.names) if dataset.classes.exclusive else 256
            assert own.labels_HW.max() < top, "a label that is no class"
            assert dataset.has_depth == (own.depth_HW is not None), "has_depth must tell"


def check_transform(transform: Transform, *, tries: int = 40) -> None:
    """The contract of `Transform`: what it makes of a sample depends on the generator alone, is a
    sample of the same size and classes, and what it says that it leaves alone stays.

    Args:
        transform: to check.
        tries: samples that are drawn; one of them at least must change.
    """
    check_config(transform)
    random = np.random.default_rng(0)
    blocks = random.integers(0, len(LANDMARKS.names), (6, 8)).astype(np.uint8)
    labels_HW = blocks.repeat(8, axis=0).repeat(8, axis=1)
    image_HW3 = random.integers(0, 256, (*labels_HW.shape, 3)).astype(np.uint8)
    sample = Sample("a_1", "a", "a_1", image_HW3, labels_HW, 60 * labels_HW, labels_HW == 2)
    bare = dataclasses.replace(sample, depth_HW=None, ignore_HW=None)
    before = _bytes(sample)
    changed = False
    for seed in range(tries):
        out = transform.apply(sample, np.random.default_rng(seed))
        assert _bytes(sample) == before, "the sample that is given must stay as it is"
        again = transform.apply(sample, np.random.default_rng(seed))
        assert _bytes(out) == _bytes(again), "the same generator must give the same sample"
        assert out.sample_id == sample.sample_id, "a sample keeps its name"
        assert out.image_HW3.shape == image_HW3.shape, "the image's size must stay"
        assert out.image_HW3.dtype == np.uint8, "an image is of levels, uint8"
        assert out.labels_HW.shape == labels_HW.shape, "the labels' size must stay"
        assert {*np.unique(out.labels_HW)} <= {*np.unique(blocks)}, "a label that was not there"
        assert out.depth_HW is not None, "the depth is gone"
        assert out.depth_HW.shape == labels_HW.shape, "the depth's size must stay"
        if transform.repeats("image"):
            assert np.array_equal(out.image_HW3, image_HW3), "it says that the image repeats"
        if transform.repeats("depth"):
            assert np.array_equal(out.depth_HW, 60 * labels_HW), "it says that the depth repeats"
        assert transform.apply(bare, np.random.default_rng(seed)).depth_HW is None
        changed |= _bytes(out) != before
    assert changed, f"of {tries} samples none was changed"


def _bytes(sample: Sample) -> tuple[bytes | None, ...]:
    arrays = (sample.image_HW3, sample.labels_HW, sample.depth_HW, sample.ignore_HW)
    return tuple(None if array is None else array.tobytes() for array in arrays)


def check_loss(loss: Loss) -> None:
    """The contract of `Loss`: a mean over samples that ignored pixels do not enter."""
    check_config(loss)
    module, batch = loss.build(LANDMARKS), noise(2, (16, 24))
    logits = torch.randn(batch.target_BKHW.shape, generator=torch.Generator().manual_seed(0))
    whole = module(_prediction(logits), batch)
    parts = [module(_prediction(logits[i : i + 1]), batch.take([i])) for i in range(2)]
    assert whole.ndim == 0, "a loss is a scalar"
    assert torch.allclose(whole, torch.stack(parts).mean(), rtol=1e-4), "it must be a mean"
    ignore = torch.zeros(2, 1, 16, 24, dtype=torch.bool)
    ignore[:, :, :4] = True
    known = dataclasses.replace(batch, ignore_B1HW=ignore)
    moved = logits.requires_grad_()
    module(_prediction(moved), known).backward()
    assert moved.grad is not None
    assert not moved.grad[:, :, :4].any(), "ignored pixels must have no gradient"


def _prediction(logits_BKhw: Tensor) -> Prediction:
    """Logits with all that a loss may look at beside them; queries are the classes, in order."""
    samples, classes = logits_BKhw.shape[:2]
    sure_QL = 5 * torch.eye(classes, classes + 1)
    queries = {
        "query_classes": sure_QL.expand(1, samples, -1, -1),
        "query_masks": logits_BKhw[None],
    }
    return Prediction(logits_BKhw, {"native": logits_BKhw, **queries})


def check_metric(metric: Metric) -> None:
    """The contract of `Metric`: a perfect prediction is best, and a worse one is no better. Of one
    that needs uncertainty: to be unsure where a prediction is wrong is best."""
    shape = (2, 24, 32) if metric.scope == "case" or metric.classes == "stacked" else (24, 32)
    truth = np.zeros(shape, bool)
    truth[..., 6:18, 8:20] = True
    worse = np.roll(truth, 5, axis=-1)
    spacing = tuple(1.0 for _ in shape)

    def value(prediction: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
        if metric.needs == "uncertainty":
            unsure = (prediction == truth) & (worse != truth)
            pair = Pair(worse, truth, None, spacing, unsure.astype(np.float32))
            return metric.number(metric.compute(pair))
        shares = prediction.astype(np.float32)
        return metric.number(metric.compute(Pair(prediction, truth, shares, spacing)))

    best, other = value(truth), value(worse)
    assert np.isfinite([best, other]).all(), "two masks that are not empty must have a value"
    better = best >= other if metric.direction == "maximize" else best <= other
    assert better, f"{metric.key} says {best} of the truth and {other} of a shifted mask"
    if metric.unit == "fraction":
        assert 0 <= min(best, other) <= max(best, other) <= 1, "a fraction lies between 0 and 1"
