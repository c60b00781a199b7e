"""Kept features of the frozen depth encoder: the same bits, whatever is kept, and never stale."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from segcore.batch import Batch
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.loader import collate, evaluation_batches, training_batches
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems.depth_encoders import depth_encoder
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.depth_encoders.dinov2 import Dinov2DepthEncoder
from segcore.systems.depth_encoders.features import KeptFeatures
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoder, DualEncoderConfig
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import Evaluation
from segcore.training.loop import Training
from segcore.training.runtime import Precision, Runtime

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
EXTERNAL = SyntheticLiver(train=1, val=1, test=2, domain="b")
PLAIN = Augment(flip=0.0, brightness=0.0)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass through a depth encoder had."""
    passes: list[int] = []
    look = Dinov2DepthEncoder.look

    def counted(self: Dinov2DepthEncoder, image_B3HW: Tensor) -> Tensor:
        passes.append(len(image_B3HW))
        return look(self, image_B3HW)

    monkeypatch.setattr(Dinov2DepthEncoder, "look", counted)
    return passes


def encoder() -> Dinov2DepthEncoder:
    torch.set_num_threads(1)
    return DepthAnythingV2Config().build().requires_grad_(False).eval()


def images(count: int = 3) -> tuple[Tensor, tuple[str, ...]]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 128, 128, generator=random), tuple("abcdefgh"[:count])


def kept(found: nn.Module) -> KeptFeatures:
    return cast(Dinov2DepthEncoder, found)._kept


def digits(evaluations: list[Evaluation]) -> Any:
    return [(repr(e.scores), repr(e.images), [s.loss for s in e.steps]) for e in evaluations]


def test_kept_features_are_the_encoders_bit_by_bit() -> None:
    found, (image, names) = encoder(), images(1)
    with torch.no_grad():
        plain = found(image)
        for _ in range(2):
            again = found(image, names)
            assert torch.equal(again, plain)
            assert again.stride() == plain.stride()  # kernels depend on the layout
    assert len(kept(found)) == 1


def test_features_do_not_depend_on_what_was_kept(seen: list[int]) -> None:
    """Nor on the rest of a batch: each image goes through the encoder alone."""
    fresh, used, (image, names) = encoder(), encoder(), images()
    with torch.no_grad():
        used(image[1:2], names[1:2])
        del seen[:]
        assert torch.equal(used(image, names), fresh(image, names))
        assert seen == [1, 1] + [1, 1, 1]
        assert torch.equal(used(image[[2, 0]], ("c", "a")), fresh(image, names)[[2, 0]])
        assert len(seen) == 5


def test_what_evaluation_keeps_training_can_use() -> None:
    found, (image, names) = encoder(), images()
    with torch.inference_mode():
        found(image, names)
    weight = torch.ones(1, requires_grad=True)
    (found(image, names) * weight).sum().backward()
    assert weight.grad is not None


def test_precisions_are_kept_apart() -> None:
    found, (image, names) = encoder(), images()
    with torch.no_grad():
        exact = found(image, names)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                rounded = found(image, names)
            assert not torch.equal(rounded, exact)
            assert torch.equal(found(image, names), exact)


def test_weights_that_move_keep_nothing(seen: list[int]) -> None:
    found, (image, names) = encoder(), images()
    with torch.no_grad():
        found(image, names)
        found.backbone.layernorm.weight.requires_grad_(True)
        del seen[:]
        found(image, names)
        found(image, names)
    assert seen == [3, 3]
    assert len(kept(found)) == 0


def test_other_weights_are_other_features() -> None:
    found, (image, names) = encoder(), images()
    with torch.no_grad():
        before = found(image, names)
        whole = nn.ModuleDict({"depth": found})
        whole.load_state_dict({n: x * 0.9 for n, x in whole.state_dict().items()})
        after = found(image, names)
        assert not torch.equal(after, before)
        assert torch.equal(after, found(image))


def test_memory_is_bounded_and_training_leaves_evaluation_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, (image, names) = encoder(), images(8)
    bytes_each = 257 * 96 * 4
    monkeypatch.setattr(depth_encoder, "KEPT_BYTES", 4 * bytes_each)
    with torch.no_grad():
        expected = found(image)
        assert torch.equal(found.train()(image, names), expected)
        assert len(kept(found)) == 2
        assert torch.equal(found.eval()(image, names), expected)
        assert len(kept(found)) == 4


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("source", ["map", "image"])
def test_a_training_gives_the_digits_of_one_that_keeps_nothing(
    tiny: TrainConfig, source: Any, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, every score, the best epoch put back, other sizes and the external set.

    Few images where the precision is bfloat16, which most CPUs only emulate.
    """
    few = SyntheticLiver(train=2, val=1, test=1)
    config = replace(
        tiny,
        data=few if precision == "bfloat16" else tiny.data,
        system=DualEncoderConfig(depth=DepthAnythingV2Config(source=source)),
        augment=PLAIN if source == "image" else Augment(),
        evaluation=EvaluationConfig(external=EXTERNAL, resolutions=(64,)),
        precision=precision,
    )
    kept_some = list(train(config, Runtime()))
    with monkeypatch.context() as patch:
        patch.setattr(DualEncoder, "remembers", None)
        kept_none = list(train(config, Runtime()))
    assert digits(kept_some) == digits(kept_none)


def test_evaluation_encodes_each_image_once(tiny: TrainConfig, seen: list[int]) -> None:
    """Two epochs on val, val again at the end, and test at two sizes: two images each."""
    turned = Augment(rotate=1.0)  # no training image comes twice
    config = replace(tiny, augment=turned, evaluation=EvaluationConfig(resolutions=(64,)))
    list(train(config, Runtime()))
    assert sum(n for n in seen if n == 1) == 2 + 2
    assert sum(n for n in seen if n > 1) == 2 * 6


def test_training_encodes_each_form_of_an_image_once(tiny: TrainConfig, seen: list[int]) -> None:
    config = replace(tiny, augment=PLAIN, schedule=replace(tiny.schedule, epochs=3))
    list(train(config, Runtime(test=False)))
    assert sum(seen) == 6 + 2
    del seen[:]
    config = replace(config, augment=Augment(), schedule=replace(tiny.schedule, epochs=8))
    list(train(config, Runtime(test=False)))
    assert sum(seen) <= 2 * 6 + 2  # as it is, and mirrored


@pytest.mark.parametrize("method", METHODS)
def test_only_an_encoder_that_moves_is_computed_anew(tiny: TrainConfig, method: str) -> None:
    config = replace(tiny, method=Method.named(method))
    system = Training(config, Runtime()).system
    assert isinstance(system, DualEncoder)
    assert system.depth is not None
    moves = any(p.requires_grad for p in system.depth.parameters())
    assert system.remembers == (None if moves else "depth")
    assert moves == (method == "full")


def test_resuming_without_the_kept_gives_the_same_losses(tiny: TrainConfig, tmp_path: Path) -> None:
    config = replace(tiny, augment=PLAIN)
    whole = list(train(config, Runtime()))
    first = next(train(config, Runtime()))
    first.save(tmp_path)
    rest = list(train(config, Runtime(restore_from=tmp_path)))
    assert digits([first, *rest]) == digits(whole)


def test_what_a_system_looks_at_is_hashed_and_nothing_else(tiny: TrainConfig) -> None:
    data = tiny.data.open()
    for remembers in ("image", "depth", None):
        batches = [
            batch
            for _, batch in evaluation_batches(
                data, "val", (64, 64), 1, rank=0, world=1, remembers=cast(Any, remembers)
            )
        ]
        for part, hashes in (
            ("image", [b.image_hashes for b in batches]),
            ("depth", [b.depth_hashes for b in batches]),
        ):
            assert all((h is not None) == (part == remembers) for h in hashes)
            if part == remembers:
                assert len(set(hashes)) == len(batches)


def test_a_hash_is_of_the_pixels_not_of_the_sample(tiny: TrainConfig) -> None:
    """Who shows a network other depth maps (see benchmarks/nano_evidence.py) need not say so."""
    data = tiny.data.open()
    one, other = (data.load("train", i, (64, 64)) for i in data.ids("train")[:2])
    swapped = replace(one, depth_HW=other.depth_HW)

    def hashes(batch: Batch) -> tuple[str, ...] | None:
        return batch.to(torch.device("cpu")).depth_hashes

    first, second = (collate([s], CLASSES, hashed="depth") for s in (one, other))
    assert hashes(collate([swapped], CLASSES, hashed="depth")) == hashes(second) != hashes(first)
    larger = data.load("train", one.sample_id, (128, 128))
    assert hashes(collate([larger], CLASSES, hashed="depth")) != hashes(first)


@pytest.mark.parametrize(
    ("augment", "image", "depth"),
    [
        (PLAIN, True, True),
        (Augment(flip=0.5, brightness=0.0), True, True),
        (Augment(), False, True),
        (Augment(rotate=0.5, brightness=0.0), False, False),
    ],
)
def test_training_images_are_hashed_where_they_come_again(
    tiny: TrainConfig, augment: Augment, image: bool, depth: bool
) -> None:
    data = tiny.data.open()

    def forms(part: Any) -> set[str] | None:
        found: set[str] = set()
        for epoch in range(1, 13):
            made = training_batches(data, [[0]], (64, 64), augment, 0, epoch, remembers=part)
            (batch,) = made
            hashes = batch.image_hashes if part == "image" else batch.depth_hashes
            if hashes is None:
                return None
            found.update(hashes)
        return found

    for part, comes_again in (("image", image), ("depth", depth)):
        found = forms(part)
        assert (found is not None) == comes_again
        if found is not None:
            assert len(found) == (2 if augment.flip else 1)


def test_without_depth_encoder_nothing_is_remembered() -> None:
    config = DualEncoderConfig(fusion=FusionConfig(mode="rgb_only"))
    assert config.build(CLASSES).requires_grad_(False).remembers is None
    image = DualEncoderConfig(depth=DepthAnythingV2Config(source="image"))
    assert image.build(CLASSES).requires_grad_(False).remembers == "image"


def test_batches_without_depth_maps_bring_no_hashes(tiny: TrainConfig) -> None:
    sample = tiny.data.open().load("train", tiny.data.open().ids("train")[0], (64, 64))
    bare = dataclasses.replace(sample, depth_HW=None)
    assert collate([bare], CLASSES, hashed="depth").depth_hashes is None
