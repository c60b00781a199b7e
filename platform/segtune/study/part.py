"""Part of an ablation: some of its arms, some of its seeds."""

from collections.abc import Collection
from dataclasses import dataclass

from segtune.study.overrides import SpecError
from segtune.study.spec import Ablation, Study
from segtune.study.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which trials a run is for. The study stays whole: a later run trains the others."""

    arms: Collection[str] | None = None
    """None: all of them."""
    seeds: Collection[int] | None = None
    """None: all of them. Tuning has a seed of its own, and is done for every arm of the part."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self.arms is None and self.seeds is None

    def __contains__(self, trial: Trial) -> bool:
        in_arms = self.arms is None or trial.arm in self.arms
        in_seeds = self.seeds is None or trial.role == "tune" or trial.seed in self.seeds
        return in_arms and in_seeds


WHOLE = Part()


def check_part(study: Study, part: Part) -> None:
    """See that a study has such a part.

    Raises:
        SpecError: it has no arms, seeds that are added by need, or others than those.
    """
    if part.whole:
        return
    if not isinstance(study, Ablation):
        raise SpecError(["--arms and --seeds are for ablations: leave them out for a search"])
    faults = []
    if study.sequential is not None:
        faults.append(
            "--arms and --seeds: this study adds seeds to the arms whose verdict is open, which "
            "takes all of them: leave them out"
        )
    arms, seeds = list(study.all_arms()), study.all_seeds
    for arm in part.arms or ():
        if arm not in arms:
            faults.append(f"--arms {arm}: choose of {', '.join(arms)}")
    for seed in part.seeds or ():
        if seed not in seeds:
            faults.append(f"--seeds {seed}: choose of {', '.join(map(str, seeds))}")
    if faults:
        raise SpecError(faults)
