"""Does augmentation help, and which part of it? (small, on rendered scenes)

Command: segtune run augmentation_nano && segtune report augmentation_nano
Cost: 5 arms x 3 seeds = 15 trials, each like one of those of `demo`, that of `light` and `all` a
little longer.

Nano encoders and rendered scenes, whose patients differ less than people do: it shows how the
comparison works, and says nothing about SAM2 on patients. `segtune data augment augmentation_nano
--arm all` draws what an arm sees.
"""

from segcore.presets import nano
from segtune import Ablation, apply

GEOMETRY = {"augment.rotate": 0.5, "augment.elastic": 0.5, "augment.crop": 0.5}
LIGHT = {
    "augment.brightness": 0.2,
    "augment.contrast": 0.2,
    "augment.saturation": 0.2,
    "augment.hue": 0.02,
    "augment.gamma": 0.3,
    "augment.spots": 0.3,
    "augment.blur": 0.3,
    "augment.noise": 0.3,
}


def study() -> Ablation:
    """None, flips, and flips with what moves pixels, with what recolours them, or with both."""
    flips = {"augment.flip": 0.5}
    return Ablation(
        question="Does augmentation help, and which part of it?",
        baseline=apply(nano(), {"augment.flip": 0.0, "augment.brightness": 0.0}),
        baseline_arm="none",
        arms={
            "flips": flips,
            "geometry": {**flips, **GEOMETRY},
            "light": {**flips, **LIGHT},
            "all": {**flips, **GEOMETRY, **LIGHT},
        },
        seeds=(0, 1, 2),
    )
