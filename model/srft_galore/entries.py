"""A parameter as a step sees it: its group, projection, state and the phase of its refreshes."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from .projection import Projection, derive_seed
from .refresh.schedule import is_due, staggered_phases
from .state import moment_dtype, new_state, plan
from .step_counts import StepCounts


class Entry(NamedTuple):
    """A parameter as a step sees it."""

    position: int
    """In the optimizer, counted over all groups."""
    group: dict[str, Any]
    parameter: Tensor
    projection: Projection | None
    """None where the parameter takes plain AdamW."""
    phase: int
    """Of its refreshes, see `schedule`."""
    state: dict[str, Tensor]
    counts: StepCounts
    """Of the optimizer."""

    @property
    def step(self) -> int:
        """Updates that it made. Where a device counts them, the host may have to wait for it."""
        return self.counts.exact(self.state)

    @property
    def adam_step(self) -> int:
        """Updates that its moments have seen: Adam's t, before the coming one."""
        return self.step - self.restarted_at

    @property
    def restarted_at(self) -> int:
        """The step at which its moments were set to zero for the last time."""
        return 0 if self.projection is None else int(self.state["restarted_at"])

    @property
    def refresh_from(self) -> str:
        """Which step's gradient its bases come from; "current" where it has none."""
        return "current" if self.projection is None else str(self.group["refresh_from"])

    @property
    def has_basis(self) -> bool:
        """Whether a basis was ever computed."""
        return int(self.state["refreshes"]) > 0

    @property
    def seed(self) -> int:
        """Of the random matrix of the coming refresh."""
        own = (self.position,) if self.group["sketch"] == "per_weight" else ()
        return derive_seed(self.group["seed"], int(self.state["refreshes"]), *own)

    def is_due(self, *, ahead: int = 0) -> bool:
        """Whether a new basis is due at the coming step, or `ahead` steps later."""
        if self.projection is None:
            return False
        gap, refreshed_at = self.group["update_proj_gap"], int(self.state["refreshed_at"])

        def due_after(step: int) -> bool:
            return is_due(step + ahead, refreshed_at, gap=gap, phase=self.phase)

        return due_after(self.counts.at_most(self.state)) and due_after(self.step)

    @property
    def stored_gradient(self) -> Tensor:
        """The gradient as it is, in the dtype of the parameter."""
        assert self.parameter.grad is not None
        return self.parameter.grad

    def gradient(self) -> Tensor:
        """The gradient in the dtype of the arithmetic, folded where it is projected."""
        gradient = self.stored_gradient.to(moment_dtype(self.parameter))
        return gradient if self.projection is None else self.projection.fold(gradient)


class Place(NamedTuple):
    """Where a parameter stands in an optimizer, and how its group treats it.

    It stays there, while loading a state replaces the optimizer's groups and states.
    """

    position: int
    """Counted over all groups."""
    group_number: int
    """Which of the optimizer's groups it is in."""
    index_in_group: int
    """Among the parameters of that group."""
    projection: Projection | None
    """None where the parameter takes plain AdamW."""
    phase: int
    """Of its refreshes, see `schedule`."""

    def entry(
        self,
        groups: Sequence[dict[str, Any]],
        states: MutableMapping[Tensor, dict[str, Tensor]],
        counts: StepCounts,
    ) -> Entry:
        """The parameter at this place; it gets a new state where it has none.

        Args:
            groups: The optimizer's groups as they are now.
            states: The optimizer's states as they are now, empty where there is none yet.
            counts: Of the optimizer.

        Raises:
            ValueError: The group was edited into something that does not fit the state.
        """
        group = groups[self.group_number]
        parameter = group["params"][self.index_in_group]
        state = states[parameter]
        if not state:
            state.update(new_state(parameter, self.projection))
        held = tuple(state["basis"].shape) if "basis" in state else None
        asked = self.projection and self.projection.basis_shape
        if held != asked:
            raise ValueError(
                f"The basis of parameter {self.position} has shape {held}, its group now asks for "
                f"{asked}: rank, side and blocks cannot change after the first step, nor can a "
                f"projector become the identity. Build a new optimizer."
            )
        return Entry(self.position, group, parameter, self.projection, self.phase, state, counts)


class Places:
    """The places of an optimizer's parameters, planned anew only where they may have changed."""

    def __init__(self) -> None:
        self._planned: dict[Tensor, Place] = {}
        self._made_of: list[object] = []
        self._doubted = True

    @property
    def doubted(self) -> bool:
        """Whether groups may have been edited since they were looked at."""
        return self._doubted

    def of(self, groups: Sequence[Mapping[str, Any]]) -> Mapping[Tensor, Place]:
        """Every parameter, in order, with its place.

        Args:
            groups: The optimizer's groups as they are now.

        Raises:
            ValueError: A group's side was edited.
        """
        made_of = [_made_of(group) for group in groups]
        if made_of != self._made_of:
            planned = dict(_plan_all(groups))
            for parameter, place in planned.items():
                _refuse_other_side(self._planned.get(parameter), place)
            self._planned, self._made_of = planned, made_of
        self._doubted = False
        return self._planned

    def since_the_last_step(self, groups: Sequence[Mapping[str, Any]]) -> Mapping[Tensor, Place]:
        """As `of`, but the groups are looked at once between two steps: hooks ask one by one."""
        return self.of(groups) if self._doubted else self._planned

    def doubt(self) -> None:
        """To be called at the end of a step: groups may be edited from now on."""
        self._doubted = True


def _refuse_other_side(before: Place | None, now: Place) -> None:
    """Of a square weight no shape would show it."""
    if before is None or before.projection is None or now.projection is None:
        return
    if before.projection.right != now.projection.right:
        raise ValueError(
            f"side of the group of parameter {now.position} was edited: moments of one side mean "
            f"nothing on the other. Set it back, or build a new optimizer."
        )


_PLANNED_BY = ("rank", "side", "projector", "blocks", "stagger", "update_proj_gap")


def _made_of(group: Mapping[str, Any]) -> object:
    """What the places of a group's parameters depend on."""
    return (
        [group.get(key) for key in _PLANNED_BY],
        [(id(parameter), parameter.shape) for parameter in group["params"]],
    )


def _plan_all(groups: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Tensor, Place]]:
    position = 0
    for number, group in enumerate(groups):
        projections = [plan(parameter, group) for parameter in group["params"]]
        costs = tuple(0 if p is None else p.blocks * p.rows * p.cols for p in projections)
        phases: Sequence[int] = [0] * len(costs)
        if group.get("stagger"):
            phases = staggered_phases(costs, group["update_proj_gap"])
        of_group = zip(group["params"], projections, phases, strict=True)
        for index, (parameter, projection, phase) in enumerate(of_group):
            yield parameter, Place(position, number, index, projection, phase)
            position += 1
