"""At which learning rate is each arm of `demo` best? (small, on rendered polyps)

Command: segtune run demo_rates && segtune report demo_rates
Cost: 12 tuning trials, then 12 trials, each like one of those of `demo`.

Every arm has the same three rates to choose from on val, with a seed that is not used again. Its
polyps are others than those of `demo`, which takes the rates over.
"""

from dataclasses import replace

from search_spaces.demo import adaptation
from segtune import Ablation


def study() -> Ablation:
    """The arms of `demo`, each with three rates to choose from."""
    return replace(
        adaptation({}, scenes=0),
        question="At which learning rate is each arm of `demo` best?",
        tune_each_arm={"optim.lr": (1e-3, 3e-3, 1e-2)},
    )
