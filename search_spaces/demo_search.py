"""Which rank, refresh interval and fusion suit SRFT-GaLore? (small, on rendered scenes)

Command: segtune run demo_search && segtune report demo_search
Cost: 6 trials, some four minutes on two CPU cores.

Six trials find nothing out; they show a search at work. Two objectives on val: Dice up, ASSD down.
"""

from optuna.distributions import CategoricalDistribution, IntDistribution

from segcore.presets import nano
from segtune import Search, apply


def study() -> Search:
    """Rank, projection refresh interval, and where and how depth meets RGB."""
    return Search(
        question="Which rank, refresh interval and fusion suit SRFT-GaLore?",
        baseline=apply(nano(), {"method": "srft_galore", "method.rank": 8}),
        space={
            "method.rank": IntDistribution(2, 32, log=True),
            "method.update_proj_gap": IntDistribution(5, 100, log=True),
            "system.fusion.query": CategoricalDistribution(("depth", "rgb")),
            "system.fusion.stride": CategoricalDistribution((8, 16)),
            "system.fusion.heads": CategoricalDistribution((1, 2, 4)),
        },
        num_samples=6,
    )
