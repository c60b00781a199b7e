"""Learning rates that are far from the head's are told before anything is trained."""

from segcore.methods import METHODS
from segcore.presets import nano, paper
from segcore.training.schedule import Schedule
from segtune.study.rates import MOST, unusual_rates
from segtune.study.spec import Ablation, Search


def test_no_method_is_far_off_on_any_preset_by_itself() -> None:
    for baseline in (nano(), paper("L3D", pretrained="random")):
        arms = {name: {"method": name} for name in METHODS if name != baseline.method.name}
        study = Ablation(question="?", baseline=baseline, arms=arms, seeds=(0,))
        assert unusual_rates(study) == []


def test_a_rate_of_another_scale_is_told_once_for_each_arm_and_candidate() -> None:
    study = Ablation(
        question="?",
        baseline=paper("L3D", pretrained="random"),
        arms={
            "lora": {"method": "lora", "method.lr": 1e-2},
            "full": {"method": "full", "method.lr": 5e-4},
            "head": {"optim.lr": 1e-6, "method.lr": 5e-5},
            "wrong": {"method": "lora", "method.lr": 1e-2, "method.rank": -1},
            "frozen": {"method": "frozen"},
        },
        tune={"full": {"method.lr": (1e-4, 1e-2)}},
        seeds=(0,),
    )
    assert unusual_rates(study) == [
        "arm lora adapts at 0.01, 200 times the head's rate (5e-05): leave method.lr out, or lower "
        "it, if that is not meant",
        "arm full with method.lr = 0.01 adapts at 0.01, 200 times the head's rate (5e-05): leave "
        "method.lr out, or lower it, if that is not meant",
        "arm head adapts at 5e-05, 50 times the head's rate (1e-06): leave method.lr out, or lower "
        "it, if that is not meant",
    ]
    assert MOST == 10


def test_a_search_and_a_configuration_that_says_no_rates() -> None:
    search = Search(question="?", baseline=nano(), space={}, num_samples=1)
    assert unusual_rates(search) == []
    bare = Ablation(question="?", baseline=Schedule(), arms={"a": {"epochs": 2}}, seeds=(0,))
    assert unusual_rates(bare) == []
