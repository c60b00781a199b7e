"""Which method, at which rank and rate, is worth its memory? (small, on rendered scenes)

Command: segtune run asha_search && segtune report asha_search
Cost: at most 12 trials of 9 epochs and 2 x 2 finalists, some ten minutes on two CPU cores; the
scheduler stops what falls behind after its third or sixth epoch.

Twelve trials find little out; they show what a search can do: a rank only where the method has one,
three objectives, a ceiling, early stopping, and the best two configurations trained anew and
tested. `segtune run asha_search --num-samples +20` goes on from there.
"""

from dataclasses import replace

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segcore.presets import nano
from segtune import Asha, AtMost, Objective, Search, When, apply

LOW_RANK = ("lora", "galore", "srft_galore")


def study() -> Search:
    """Method, rank, rates; Dice up, ASSD and optimizer state down."""
    small = replace(nano(), schedule=replace(nano().schedule, epochs=9))
    return Search(
        question="Which method, at which rank and rate, is worth its memory?",
        baseline=apply(small, {"method": "frozen"}),
        space={
            "method": CategoricalDistribution(("frozen", *LOW_RANK)),
            "method.rank": When("method", LOW_RANK, IntDistribution(2, 16, log=True)),
            "method.lr": When("method", LOW_RANK, FloatDistribution(1e-3, 1e-2, log=True)),
            "optim.lr": FloatDistribution(1e-3, 1e-2, log=True),
        },
        num_samples=12,
        objectives=(
            Objective("dice", "maximize"),
            Objective("assd", "minimize"),
            Objective("optimizer_state_bytes", "minimize"),
        ),
        constraints=(AtMost("optimizer_state_bytes", 2.85e6),),
        scheduler=Asha(grace_period=3, reduction_factor=2),
        finalists=2,
        finalist_seeds=(100, 101),
    )
