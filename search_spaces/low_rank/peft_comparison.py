"""Which way of adapting SAM2 is best, each at its own learning rate?

Command: segtune run peft_comparison --gpus-per-worker 1 --storage STORAGE
Cost: 30 tuning trials, then 5 arms x 3 seeds = 15 trials, all of 100 epochs (L3D, 1024 x 1024,
23,100 steps of batch 4) on one GPU of 24 GB or more each (`full` needs more than the others); the
hours are not measured yet.

Every arm gets the same budget: six candidates, chosen on val (macro Dice), with a seed that is not
used again. The arm then runs with fresh seeds, and only those are tested. `frozen` has only the
head's rate to tune; the others have two rates of the head with three of their own. `full` moves
the depth encoder too.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, apply


def study() -> Ablation:
    """The methods side by side, each tuned at equal budget."""
    head = (5e-5, 5e-4)
    low_rank = {"method.lr": (2e-5, 5e-5, 2e-4), "optim.lr": head}
    return Ablation(
        question="Which way of adapting SAM2 is best, each at its own learning rate?",
        baseline=apply(baseline(), {"method": "frozen"}),
        baseline_arm="frozen",
        arms={
            "full": {"method": "full"},
            "lora": {"method": "lora", "method.rank": 8},
            "galore": {"method": "galore", "method.rank": 128},
            "srft_galore": {"method": "srft_galore", "method.rank": 128},
        },
        tune={
            "frozen": {"optim.lr": (1e-5, 2e-5, 5e-5, 2e-4, 5e-4, 2e-3)},
            "full": {"method.lr": (2e-6, 1e-5, 5e-5), "optim.lr": head},
            "lora": {"method.lr": (5e-5, 5e-4, 5e-3), "optim.lr": head},
            "galore": low_rank,
            "srft_galore": low_rank,
        },
        seeds=SEEDS,
    )
