"""Are I-MedSAM's masks better at sizes that it was not trained at?

Command: segtune run imedsam_resolution --gpus-per-worker 1 --storage STORAGE
Cost: 5 arms x 3 seeds = 15 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

The network sees 384 x 384, and masks are compared at 128 and 896 too: the field is asked at those
points; SAM's mask head, and a network without an implicit field or a box, have their masks resized.
Truth is resized by nearest neighbour, so that at 896 much of a difference in Dice is the truth's
own: look at the distances and NSD. Boxes are jittered and come from the truth, at test too.
"""

from search_spaces.imedsam._reported import RESOLUTIONS
from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segcore.systems.hiera_unet import HieraUnetConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    sam2 = Sam2Config(
        size="hiera_large", pretrained="checkpoint", checkpoint="weights/sam2.1_hiera_large.pt"
    )
    return resolution(paper_scale(), HieraUnetConfig(image_size=384, sam2=sam2), (128, 896))


def resolution(scale: TrainConfig, plain: HieraUnetConfig, sizes: tuple[int, int]) -> Ablation:
    """Masks of other sizes, by a field and resized.

    Args:
        scale: with all components.
        plain: a network without field and boxes.
        sizes: of the masks, a smaller and a larger one.
    """
    return Ablation(
        question="Are I-MedSAM's masks better at sizes that it was not trained at?",
        baseline=apply(scale, {"system.decoder": "masks", "evaluation.resolutions": sizes}),
        baseline_arm="mask_head",
        arms={
            "field": {"system.decoder": "field"},
            "hiera_unet": {"system": plain, "method": "lora", "prompts.source": "none"},
            "filled_box": {"system": "filled_box", "method": "frozen"},
            "box_ellipse": {"system": "box_ellipse", "method": "frozen"},
        },
        seeds=SEEDS,
        reported=RESOLUTIONS,
    )
