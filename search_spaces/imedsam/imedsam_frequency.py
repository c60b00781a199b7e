"""Which spectrum of the image helps I-MedSAM?

Command: segtune run imedsam_frequency --gpus-per-worker 1 --storage STORAGE
Cost: 4 arms x 3 seeds = 12 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

None, phase and amplitude as in the paper's table, and the amplitudes' logarithm: as coded, the
linear map is nearly the same for all images. Boxes are jittered and come from the truth, at test
too.
"""

from search_spaces.imedsam._reported import FREQUENCY
from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    return frequency(paper_scale())


def frequency(scale: TrainConfig) -> Ablation:
    """The spectra side by side.

    Args:
        scale: with frequency adapters.
    """
    return Ablation(
        question="Which spectrum of the image helps I-MedSAM?",
        baseline=apply(scale, {"system.frequency.map": "none"}),
        baseline_arm="none",
        arms={
            "phase": {"system.frequency.map": "phase"},
            "amplitude": {
                "system.frequency.map": "amplitude",
                "system.frequency.scale": "linear",
            },
            "log_amplitude": {"system.frequency.map": "amplitude"},
        },
        seeds=SEEDS,
        reported=FREQUENCY,
    )
