"""Which points should I-MedSAM's fine field look at, and how many?

Command: segtune run imedsam_sampling --gpus-per-worker 1 --storage STORAGE
Cost: 9 arms x 3 seeds = 27 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

The paper's table of ratios, "none" read as no fine field at all; and at its best ratio the
estimators: in closed form, by eight draws, and as coded, where nothing is drawn at evaluation, or
drawn there too. AUROC of errors, and errors found, say whether a mask is unsure where it is wrong.
Boxes are jittered and come from the truth, at test too.
"""

from search_spaces.imedsam._reported import SAMPLING
from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segcore.metrics.table import OF_UNCERTAINTY
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    return sampling(paper_scale())


def sampling(scale: TrainConfig) -> Ablation:
    """Ratios and estimators.

    Args:
        scale: with an eighth of the points, chosen by the closed form.
    """
    scored = scale.evaluation.metrics or scale.data.metrics
    coded = {"system.sampling.estimator": "as_coded", "system.sampling.passes": 2}
    return Ablation(
        question="Which points should I-MedSAM's fine field look at, and how many?",
        baseline=apply(scale, {"evaluation.metrics": (*scored, *OF_UNCERTAINTY)}),
        baseline_arm="one_in_8",
        arms={
            "none": {"system.sampling.ratio": 0.0},
            **{f"one_in_{n}": {"system.sampling.ratio": 1 / n} for n in (2, 4, 16, 32)},
            "sampled": {"system.sampling.estimator": "sampled"},
            "as_coded": {**coded, "system.sampling.at_evaluation": False},
            "as_coded_drawn": coded,
        },
        seeds=SEEDS,
        reported=SAMPLING,
    )
