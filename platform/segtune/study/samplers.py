"""Optuna's samplers, by name."""

import importlib.util
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, BruteForceSampler
from optuna.trial import FrozenTrial, TrialState

EXHAUSTIVE = "BruteForceSampler"
_NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}
"""Sampler -> the package that it imports beyond Optuna's own requirements."""


class EveryCombination(BruteForceSampler):
    """`BruteForceSampler` outside of `Study.optimize`: it can't end the study once all is tried,
    and need not, for a search never has more trials than its space has combinations."""

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Any,
    ) -> None:
        """Do as the base class does, but never end the study."""
        try:
            super().after_trial(study, trial, state, values)
        except RuntimeError:  # `Study.stop` raises outside of `Study.optimize`
            return


def sampler_names() -> list[str]:
    """The samplers that can be used here, whatever options they may need."""
    found = []
    for name in optuna.samplers.__all__:
        cls = getattr(optuna.samplers, name)
        if name.endswith("Sampler") and name != "GridSampler" and inspect.isclass(cls):
            parameters = inspect.signature(cls).parameters
            if "seed" in parameters and missing_package(name) is None:
                found.append(name)
    return found


def missing_package(name: str) -> str | None:
    """The package that a sampler needs and this installation lacks; None where it lacks none."""
    package = _NEEDS.get(name)
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return package


def sampler(name: str, options: Mapping[str, Any], seed: int) -> BaseSampler:
    """A sampler of `optuna.samplers`.

    Args:
        name: of the class.
        options: its keyword arguments, but for the seed.
        seed: of its draws.
    """
    cls = EveryCombination if name == EXHAUSTIVE else getattr(optuna.samplers, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler: BaseSampler = cls(seed=seed, **options)
    return sampler
