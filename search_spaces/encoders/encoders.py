"""Is another encoder worth more than SAM2, or than Depth Anything V2 Small?

Command: segtune run encoders --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of batch 4) on one
GPU of 24 GB or more each; the hours are not measured yet.

SRFT-GaLore as its paper has it, with one of its two encoders replaced: SAM2.1 Hiera-L by SAM's
ViT-L, SAM3, DINOv3 ViT-L or DINOv2 ViT-L; Depth-Anything-V2-Small by -Base, -Large or
DA3MONO-LARGE. All see each image equally often, at the paper's rates, which were chosen for SAM2.
SAM3 and DINOv2 have patches of 14 pixels and see it at 896 x 896, so that all features have the
same strides; SAM, DINOv3 and DINOv2 have one scale, and a pyramid that begins at random. The files
lie in `weights`, where their authors' names are kept.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation

DINOV2 = "vit_large_patch14_dinov2.lvd142m"


def study() -> Ablation:
    """At paper scale."""
    return Ablation(
        question="Is another encoder worth more than SAM2, or than Depth Anything V2 Small?",
        baseline=baseline(),
        baseline_arm="sam2",
        arms={
            "sam": rgb("sam", "sam_vit_l_0b3195.pth", size="vit_l"),
            "sam3": rgb("sam3", "sam3.pt", size="vit_l"),
            "dinov3": rgb("dinov3", "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth", size="vitl16"),
            "dinov2": rgb("timm_vit", DINOV2, model=DINOV2),
            "depth_base": depth("depth_anything_v2", "Depth-Anything-V2-Base-hf", "base"),
            "depth_large": depth("depth_anything_v2", "Depth-Anything-V2-Large-hf", "large"),
            "depth_anything_3": depth("depth_anything_3", "DA3MONO-LARGE", "large")
            | {"system.depth.source": "image", "system.depth.resampling": "bicubic"},
        },
        seeds=SEEDS,
    )


def rgb(name: str, place: str, **settings: str) -> dict[str, object]:
    """Another encoder of the image, from a file in `weights`."""
    return {"system.rgb": name, **_from("system.rgb", place, settings)}


def depth(name: str, place: str, size: str) -> dict[str, object]:
    """Another encoder of depth, from a folder in `weights`."""
    return {"system.depth": name, **_from("system.depth", place, {"size": size})}


def _from(part: str, place: str, settings: dict[str, str]) -> dict[str, object]:
    values = {**settings, "pretrained": "checkpoint", "checkpoint": f"weights/{place}"}
    return {f"{part}.{field}": value for field, value in values.items()}
