"""Make the packaged weights: pretrain the nano encoders on generic scenes.

    python -m segcore.pretrain --out model/segcore/weights

trains them side by side on two CPU cores; `--only nano_sam` makes one of them. The same arguments
give the same bytes on the same machine. SAM2's encoder learns line masks and materials from RGB;
the depth encoder learns depth, occlusions and folds, from RGB and from spoiled depth maps alike;
SAM learns, whole, to draw the object that a box is put around. The plain vision transformer learns
what SAM2's encoder does.

Shape suffixes: B batch, C channels, K classes, H W image size, h w feature or output size.
"""

import argparse
import json
import math
import multiprocessing
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.data.scenes.generic_scenes import LINES, REGIONS, Scene, degraded, render
from segcore.data.scenes.objects import BoxedObject, boxed_objects
from segcore.systems.blocks import conv_norm_act
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.pixels import standardise
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.systems.rgb_encoders.vit import VitWeights, embed

T = TypeVar("T", bound=np.generic)

SIZE = 128
BATCH = 12
LR = 1e-3
WARMUP = 100
VAL_SEED = 10_000_000
"""Validation scenes have this seed and those that follow; training scenes count from 0."""
OUTPUT = 64
"""Side of the maps that the throwaway heads predict and are scored at, pixels."""


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    scenes: int = 3000
    val_scenes: int = 96
    steps_sam2: int = 2800
    steps_depth: int = 2600
    steps_sam: int = 4000
    steps_vit: int = 4000


QUICK = Plan(scenes=16, val_scenes=4, steps_sam2=2, steps_depth=2, steps_sam=2, steps_vit=2)


class Scenes:
    """Rendered scenes in memory, drawn in random batches."""

    def __init__(self, first_seed: int, count: int) -> None:
        self._scenes = [render(first_seed + i, SIZE) for i in range(count)]

    def draw(self, rng: np.random.Generator) -> list[Scene]:
        """A training batch: random scenes, turned and mirrored at random."""
        indices = rng.integers(len(self._scenes), size=BATCH)
        return [
            _turned(self._scenes[i], int(rng.integers(4)), mirror=bool(rng.integers(2)))
            for i in indices
        ]

    def batches(self) -> list[list[Scene]]:
        """All scenes in order."""
        return [self._scenes[i : i + BATCH] for i in range(0, len(self._scenes), BATCH)]


def _turned(scene: Scene, quarters: int, *, mirror: bool) -> Scene:
    """The scene turned by quarters and then, perhaps, mirrored."""

    def turn(x: NDArray[T], axes: tuple[int, int]) -> NDArray[T]:
        x = np.rot90(x, quarters, axes)
        return np.ascontiguousarray(np.flip(x, axes[1]) if mirror else x)

    return Scene(
        turn(scene.image_HW3, (0, 1)),
        turn(scene.depth_HW, (0, 1)),
        turn(scene.regions_HW, (0, 1)),
        turn(scene.lines_3HW, (1, 2)),
    )


def _images(scenes: list[Scene]) -> Tensor:
    """(B, 3, H, W) in [0, 1]."""
    image_BHW3 = np.stack([scene.image_HW3 for scene in scenes])
    return torch.from_numpy(image_BHW3).permute(0, 3, 1, 2).float() / 255


def _lines(scenes: list[Scene]) -> Tensor:
    """Line masks (B, K, h, w); a pixel counts where at least half of it is line."""
    lines_BKHW = torch.from_numpy(np.stack([scene.lines_3HW for scene in scenes])).float()
    return (F.interpolate(lines_BKHW, (OUTPUT, OUTPUT), mode="area") >= 0.5).float()


def _line_loss(logits_BKhw: Tensor, target_BKhw: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice per line class over the batch."""
    p_BKhw, dims = logits_BKhw.sigmoid(), (0, 2, 3)
    overlap = 2 * (p_BKhw * target_BKhw).sum(dims) + 1
    dice_K = overlap / (p_BKhw.sum(dims) + target_BKhw.sum(dims) + 1)
    return F.binary_cross_entropy_with_logits(logits_BKhw, target_BKhw) + (1 - dice_K).mean()


class Sam2Pretraining(nn.Module):
    """SAM2's encoder under a head that reads all three levels."""

    def __init__(self) -> None:
        super().__init__()
        config = Sam2Config(pretrained="random")
        self.encoder = config.build()
        self.levels = nn.ModuleList(nn.Conv2d(config.width, 64, 1) for _ in STRIDES)
        self.head = nn.Sequential(
            conv_norm_act(64, 64, 3), nn.Conv2d(64, len(LINES) + len(REGIONS), 1)
        )

    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of lines and of regions, (B, K, h, w)."""
        features, _ = self.encoder(image_B3HW)
        side = SIZE // STRIDES[0]
        summed = torch.zeros(())
        for stride, level in zip(STRIDES, self.levels, strict=True):
            x = F.interpolate(level(features[stride]), (side, side), mode="bilinear")
            summed = summed + x
        logits = F.interpolate(self.head(summed), (OUTPUT, OUTPUT), mode="bilinear")
        return logits[:, : len(LINES)], logits[:, len(LINES) :]

    def loss(self, scenes: list[Scene], rng: np.random.Generator) -> Tensor:
        """Lines and regions."""
        return _line_and_region_loss(self(_images(scenes) * float(rng.uniform(0.7, 1.2))), scenes)

    def scores(self, scenes: list[Scene]) -> dict[str, float]:
        """Dice of every kind of line, share of pixels with the right region."""
        return _line_and_region_scores(self(_images(scenes)), scenes)


def _line_and_region_loss(logits: tuple[Tensor, Tensor], scenes: list[Scene]) -> Tensor:
    lines, regions = logits
    return _line_loss(lines, _lines(scenes)) + 0.5 * F.cross_entropy(regions, _regions(scenes))


def _line_and_region_scores(logits: tuple[Tensor, Tensor], scenes: list[Scene]) -> dict[str, float]:
    lines, regions = logits
    right = (regions.argmax(1) == _regions(scenes)).float().mean()
    return {**_line_dice(lines, _lines(scenes)), "region_accuracy": float(right)}


def _regions(scenes: list[Scene]) -> Tensor:
    """The region of every pixel that is predicted, (B, h, w)."""
    step = SIZE // OUTPUT
    return torch.from_numpy(np.stack([s.regions_HW[::step, ::step] for s in scenes])).long()


def _line_dice(logits_BKhw: Tensor, target_BKhw: Tensor) -> dict[str, float]:
    """Dice over a batch for each line class there is a logit for."""
    hit_BKhw = logits_BKhw > 0
    both_K = 2 * (hit_BKhw * target_BKhw).sum((0, 2, 3))
    dice_K = both_K / (hit_BKhw.sum((0, 2, 3)) + target_BKhw.sum((0, 2, 3))).clamp(min=1)
    return {f"dice_{name}": float(x) for name, x in zip(LINES, dice_K, strict=False)}


class DepthPretraining(nn.Module):
    """The depth encoder under a head that reads each token's own patch of the maps."""

    MAPS = 3
    """Depth, occluding boundaries, folds."""

    def __init__(self) -> None:
        super().__init__()
        config = DepthAnythingV2Config(pretrained="random")
        self.encoder = config.build()
        per_token = OUTPUT // 16
        self.head = nn.Sequential(
            nn.Conv2d(config.width, 128, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(128, self.MAPS * per_token**2, 1),
            nn.PixelShuffle(per_token),
        )

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Depth up to scale and shift, and logits of boundary and crease, (B, 3, h, w)."""
        maps: Tensor = self.head(self.encoder(image_B3HW))
        return maps

    def loss(self, scenes: list[Scene], rng: np.random.Generator) -> Tensor:
        """Relative depth, its edges, boundaries and folds; every other sample sees a map."""
        image, depth = self._inputs(scenes, rng, share_of_maps=0.5)
        out = self(image)
        return self._depth_error(out[:, 0], depth) + _line_loss(out[:, 1:], _lines(scenes)[:, :2])

    def scores(self, scenes: list[Scene]) -> dict[str, float]:
        """Depth error and Dice from RGB (`image_`) and from spoiled maps (`map_`)."""
        scores = {}
        for kind, share in {"image": 0.0, "map": 1.0}.items():
            image, depth = self._inputs(scenes, np.random.default_rng(0), share_of_maps=share)
            out = self(image)
            dice = _line_dice(out[:, 1:], _lines(scenes)[:, :2])
            scores[f"{kind}_depth_error"] = float(self._depth_error(out[:, 0], depth))
            scores |= {f"{kind}_{name}": x for name, x in dice.items()}
        return scores

    def _inputs(
        self, scenes: list[Scene], rng: np.random.Generator, *, share_of_maps: float
    ) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [0, 1] and the depth (B, h, w) to be found in them."""
        image_B3HW = _images(scenes)
        wanted = []
        for i, scene in enumerate(scenes):
            depth = scene.depth_HW
            if rng.uniform() < share_of_maps:
                seen, depth = degraded(depth, rng)
                image_B3HW[i] = torch.from_numpy(seen)
            wanted.append(torch.from_numpy(depth))
        depth_B1HW = torch.stack(wanted)[:, None]
        return image_B3HW, F.interpolate(depth_B1HW, (OUTPUT, OUTPUT), mode="area")[:, 0]

    def _depth_error(self, guess_Bhw: Tensor, depth_Bhw: Tensor) -> Tensor:
        """Scale-and-shift-invariant absolute error, as Depth Anything is trained (Ranftl et al.,
        arXiv 1907.01341): 1 is about what a flat guess gets."""

        def aligned(x_Bhw: Tensor) -> Tensor:
            x_Bn = x_Bhw.flatten(1)
            x_Bn = x_Bn - x_Bn.median(1, keepdim=True).values
            return x_Bn / x_Bn.abs().mean(1, keepdim=True).clamp(min=1e-3)

        return (aligned(guess_Bhw) - aligned(depth_Bhw)).abs().mean()


class SamPretraining(nn.Module):
    """All of SAM, told by a jittered box, draws the object that the box is around."""

    BOXES = 3
    """Objects of each scene that are drawn in a step: the encoder looks at the scene once."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SamWeights(pretrained="random").build(SIZE)

    def forward(self, image_B3HW: Tensor, boxes_BN4: Tensor) -> Tensor:
        """Logits (B, N, h, w) of the object in each box (x0, y0, x1, y1), shares of the image."""
        found = self.encoder(
            pixel_values=standardise(image_B3HW),
            input_boxes=boxes_BN4 * SIZE,
            multimask_output=False,
        )
        masks: Tensor = found.pred_masks[:, :, 0]
        return masks

    def loss(self, scenes: list[Scene], rng: np.random.Generator) -> Tensor:
        """Binary cross-entropy and soft Dice of each object."""
        objects = [boxed_objects(scene, rng, self.BOXES) for scene in scenes]
        kept = [(s, o) for s, o in zip(scenes, objects, strict=True) if o]
        image = _images([scene for scene, _ in kept]) * float(rng.uniform(0.7, 1.2))
        logits, target = self._drawn(image, [o for _, o in kept])
        share, dims = logits.sigmoid(), (2, 3)
        overlap = 2 * (share * target).sum(dims) + 1
        dice = overlap / (share.sum(dims) + target.sum(dims) + 1)
        return F.binary_cross_entropy_with_logits(logits, target) + (1 - dice).mean()

    def scores(self, scenes: list[Scene]) -> dict[str, float]:
        """Mean Dice of the object in a box, and of the box and its ellipse in its place."""
        rng, found = np.random.default_rng(0), []
        for scene in scenes:
            if objects := boxed_objects(scene, rng, 1):
                logits, _ = self._drawn(_images([scene]), [objects])
                full = F.interpolate(logits, (SIZE, SIZE), mode="bilinear")
                found.append(objects[0].dice(full[0, 0].numpy() > 0))
        names = ("dice", "box_dice", "ellipse_dice")
        return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))

    def _drawn(self, image_B3HW: Tensor, objects: list[list[BoxedObject]]) -> tuple[Tensor, Tensor]:
        """Logits and truth (B, N, h, w); a scene with fewer objects has its first again."""
        most = max(map(len, objects))
        filled = [[*own, *[own[0]] * (most - len(own))] for own in objects]
        boxes = np.stack([[o.box_4 for o in own] for own in filled])
        masks = np.stack([[o.mask_HW for o in own] for own in filled])
        logits = self(image_B3HW, torch.from_numpy(boxes))
        target = F.interpolate(torch.from_numpy(masks).float(), logits.shape[-2:], mode="area")
        return logits, target


class VitPretraining(nn.Module):
    """The plain vision transformer under a head that reads each token's own patch of the maps."""

    def __init__(self) -> None:
        super().__init__()
        config = VitWeights(pretrained="random")
        self.encoder = config.build(SIZE)
        self._grid = SIZE // config.patch
        per_token = OUTPUT // self._grid
        self.head = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, 256),
            nn.GELU(),
            nn.Linear(256, (len(LINES) + len(REGIONS)) * per_token**2),
        )
        self._spread = nn.PixelShuffle(per_token)

    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of lines and of regions, (B, K, h, w)."""
        tokens_BLC = self.encoder.blocks(embed(self.encoder, standardise(image_B3HW)))
        maps_BKhw = self.head(tokens_BLC).transpose(1, 2).unflatten(2, (self._grid, self._grid))
        logits = self._spread(maps_BKhw)
        return logits[:, : len(LINES)], logits[:, len(LINES) :]

    def loss(self, scenes: list[Scene], rng: np.random.Generator) -> Tensor:
        """Lines and regions."""
        return _line_and_region_loss(self(_images(scenes) * float(rng.uniform(0.7, 1.2))), scenes)

    def scores(self, scenes: list[Scene]) -> dict[str, float]:
        """As of `Sam2Pretraining`."""
        return _line_and_region_scores(self(_images(scenes)), scenes)


Pretraining = Sam2Pretraining | DepthPretraining | SamPretraining | VitPretraining


BUILT: dict[str, tuple[Callable[[], Pretraining], str]] = {
    "nano_sam2": (Sam2Pretraining, "steps_sam2"),
    "nano_depth": (DepthPretraining, "steps_depth"),
    "nano_sam": (SamPretraining, "steps_sam"),
    "nano_vit": (VitPretraining, "steps_vit"),
}
"""File -> what is pretrained for it, and the field of a plan that says for how many steps."""


def pretrain(
    name: str, build: Callable[[], Pretraining], steps: int, plan: Plan, command: str, out: Path
) -> None:
    """Train one encoder on one thread and write `<name>.safetensors` in half precision."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    train, val = Scenes(0, plan.scenes), Scenes(VAL_SEED, plan.val_scenes)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    began, total = time.monotonic(), 0.0
    for step in range(steps):
        ratio = min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * step / steps)))
        optimizer.param_groups[0]["lr"] = LR * ratio
        optimizer.zero_grad()
        loss = model.loss(train.draw(rng), rng)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - began
            print(f"{name} {step + 1}/{steps} loss {total / 100:.3f} {seconds:.0f} s", flush=True)
            total = 0.0
    scores = _validate(model, val)
    print(f"{name} val {scores}", flush=True)
    packages = ("torch", "sam2", "timm", "transformers", "numpy", "opencv-python-headless")
    about = {
        "command": command,
        "val": scores,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
    }
    tensors = {k: x.half().contiguous() for k, x in model.encoder.state_dict().items()}
    # One entry, since safetensors writes several in no fixed order.
    metadata = {"pretraining": json.dumps(about, sort_keys=True)}
    save_file(tensors, out / f"{name}.safetensors", metadata)


def _validate(model: Pretraining, val: Scenes) -> dict[str, float]:
    """Mean scores over the validation batches."""
    with torch.no_grad():
        rows = [model.scores(scenes) for scenes in val.batches()]
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and pretrain what was asked for, two at a time."""
    parser = argparse.ArgumentParser(
        prog="python -m segcore.pretrain",
        description="Pretrain the nano encoders on generic scenes.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the files")
    parser.add_argument("--only", choices=BUILT, help="one of them (default: all)")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    chosen = parser.parse_args(arguments)
    plan = QUICK if chosen.quick else Plan()
    command = "python -m segcore.pretrain" + (" --quick" if chosen.quick else "")
    chosen.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(pretrain, name, build, getattr(plan, steps), plan, command, chosen.out)
            for name, (build, steps) in BUILT.items()
            if chosen.only in (name, None)
        ]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
