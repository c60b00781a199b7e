"""Seeds where they are needed: a study that goes on with the arms whose verdict is open."""

import math
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_GROWTH = 1.5
"""From one look to the next: as many seeds more as half of those there are."""
_LAST = 1.25
"""A look that leaves no more than a quarter of its seeds to be trained is the last one."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))
class Sequential:
    """Seeds `first`, `first` + 1, ...: `at_least` for every arm, then more for the arms of which
    one cannot tell yet, until their verdict is reached, is hardly to be reached, or they have
    `at_most`.

    Verdicts are looked at a few times only (`looks`), and intervals and p values are corrected for
    it: who looked after each seed and stopped at the first success would be wrong far more often
    than in 5 % of studies.
    """

    at_least: Annotated[int, Field(ge=3)] = 3
    """Three at least, since with fewer there is no test."""
    at_most: Annotated[int, Field(le=1000)] = 20
    first: Annotated[int, Field(ge=0)] = 0
    """Of a search's finalists one that the search does not train with."""

    def __post_init__(self) -> None:
        if self.at_most <= self.at_least:
            raise ValueError(
                f"at_most = {self.at_most}: give more than at_least = {self.at_least}, or a list "
                "of seeds"
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """All that an arm may be trained with."""
        return tuple(range(self.first, self.first + self.at_most))

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which verdicts are looked at: (3, 5, 8, 12, 20) of 3 to 20."""
        found = [self.at_least]
        while (seeds := math.ceil(found[-1] * _GROWTH)) * _LAST < self.at_most:
            found.append(seeds)
        return (*found, self.at_most)


def seeds_of(given: tuple[int, ...] | Sequential) -> tuple[int, ...]:
    """The seeds; of `Sequential` ones all that may be trained."""
    return given.seeds if isinstance(given, Sequential) else given
