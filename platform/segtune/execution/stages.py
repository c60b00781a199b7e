"""The trials of an ablation, stage by stage: all at once, or look by look where seeds are added."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise

from segtune.study.overrides import Changes
from segtune.study.sequential import Sequential
from segtune.study.spec import Ablation
from segtune.study.trial import Trial

Undecided = Callable[[int], Collection[str]]
"""Seeds of a look whose trials are finished -> the arms that get more, and their references."""


def stages(
    study: Ablation, tuned: Mapping[str, Changes], undecided: Undecided
) -> Iterator[list[Trial]]:
    """The trials of each stage. A caller asks for the next one once all of a stage are finished.

    Args:
        study: whose trials they are.
        tuned: arm -> the candidate that its tuning chose.
        undecided: asked after every look but the last.
    """
    every = list(study.trials(tuned))
    if not isinstance(study.seeds, Sequential):
        yield every
        return
    going: Collection[str] = study.all_arms()
    looks = study.seeds.looks
    for before, seeds in pairwise((0, *looks)):
        yield [t for t in every if before <= t.seed < seeds and t.arm in going]
        going = undecided(seeds) if seeds < looks[-1] else ()
        if not going:
            return
