"""Study files for tests that run them whole: trainings of two epochs on eight images."""

STUDY = """
from dataclasses import replace

from optuna.distributions import CategoricalDistribution, IntDistribution
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune import Ablation, Search, apply

TINY = replace(
    nano(),
    data=SyntheticLiver(train=8, val=4, test=4, root="scenes"),
    schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
)
"""
ABLATION = (
    STUDY
    + """
def study():
    return Ablation(
        question="Does it run?",
        baseline=apply(TINY, {"method": "frozen"}),
        baseline_arm="frozen",
        arms={"srft_galore": {"method": "srft_galore"}},
        seeds=(0,),
    )
"""
)
SEARCH = (
    STUDY
    + """
def study():
    return Search(
        question="Does it search?",
        baseline=apply(TINY, {"method": "srft_galore"}),
        space={
            "method.rank": IntDistribution(2, 16, log=True),
            "system.fusion.query": CategoricalDistribution(("depth", "rgb")),
        },
        num_samples=3,
    )
"""
)
JOB_STUDY = """
from dataclasses import replace

import segtune
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune import Ablation, apply

TINY = replace(
    nano(),
    data=SyntheticLiver(train=8, val=4, test=4),
    schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
)

print("SHIPPED", segtune.__file__)


def study():
    return Ablation(
        question="Does it run as a job?",
        baseline=apply(TINY, {"method": "frozen"}),
        baseline_arm="frozen",
        arms={"srft_galore": {"method": "srft_galore"}},
        seeds=(0,),
    )
"""
