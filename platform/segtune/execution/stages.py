"""The trials of a study, stage by stage: all at once, or look by look where seeds are added."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise

from segtune.study.overrides import Changes
from segtune.study.sequential import Sequential
from segtune.study.spec import Ablation, Search
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
    return _by_look(list(study.trials(tuned)), study.seeds, undecided)


def stages_of_finalists(
    study: Search, chosen: Mapping[int, Changes], undecided: Undecided
) -> Iterator[list[Trial]]:
    """As `stages`, of a search's finalists.

    Args:
        study: whose finalists they are.
        chosen: number of the search trial -> its changes; empty before they are chosen.
        undecided: asked after every look but the last.
    """
    return _by_look(list(study.finalist_trials(chosen)), study.finalist_seeds, undecided)


def _by_look(
    every: list[Trial], seeds: tuple[int, ...] | Sequential, undecided: Undecided
) -> Iterator[list[Trial]]:
    if not isinstance(seeds, Sequential) or not every:
        yield every
        return
    going: Collection[str | None] = {t.arm for t in every}
    for before, look in pairwise((0, *seeds.looks)):
        there = seeds.seeds[before:look]
        yield [t for t in every if t.seed in there and t.arm in going]
        going = undecided(look) if look < seeds.at_most else ()
        if not going:
            return
