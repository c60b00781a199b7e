"""A configuration that is no segcore's, to try studies on: any frozen dataclass will do."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from support.score_kinds import Scored

from segtune.study.overrides import SpecError
from segtune.study.spec import Ablation, Search
from segtune.study.validate import validate

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


class Tool:
    name: ClassVar[str]

    @classmethod
    def choice(cls, name: str) -> type["Tool"]:
        kinds: Mapping[str, type[Tool]] = {
            "saw": Saw,
            "jigsaw": Jigsaw,
            "drill": Drill,
            "plane": Plane,
        }
        if name not in kinds:
            raise ValueError(f"unknown tool {name!r}: choose one of drill, jigsaw, plane, saw")
        return kinds[name]


@checked(frozen=True, kw_only=True, config=STRICT)
class Saw(Tool):
    name: ClassVar[str] = "saw"
    teeth: Annotated[int, Field(ge=1)] = 8


@checked(frozen=True, kw_only=True, config=STRICT)
class Jigsaw(Saw):
    name: ClassVar[str] = "jigsaw"
    speed: float = 1.0


@checked(frozen=True, kw_only=True, config=STRICT)
class Drill(Tool):
    name: ClassVar[str] = "drill"
    speed: Annotated[float, Field(gt=0)] = 1.0


@checked(frozen=True, kw_only=True, config=STRICT)
class Plane(Tool):
    name: ClassVar[str] = "plane"
    width: float


@checked(frozen=True, kw_only=True, config=STRICT)
class Job(Scored):
    """A training of nothing, which says what it is scored with."""

    tool: Tool = field(default_factory=Saw)
    length: Annotated[float, Field(gt=0)] = 2.0
    folder: str = field(default="here", metadata={"location": True})
    limit: float | None = None
    seed: Annotated[int, Field(ge=0)] = 0


@checked(frozen=True, kw_only=True, config=STRICT)
class Divided(Job):
    """A job on a part of a cross-validation."""

    fold: tuple[int, int] | None = None


def faults(study: Ablation | Search) -> str:
    """What `check` has to say."""
    return refusal(lambda: validate(study))


def refusal(call: Callable[[], Any]) -> str:
    """The faults that a call raises."""
    with pytest.raises(SpecError) as caught:
        call()
    return "\n".join(caught.value.faults)
