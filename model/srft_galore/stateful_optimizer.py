"""The state of an optimizer as a whole: saved, loaded, shared, counted."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from .entries import Entry, Place, Places
from .groups.checks import check_edited
from .parallel.collectives import share
from .refresh.strategies import Strategies
from .state import (
    check_loadable,
    copied_states,
    held_bytes,
    migrated,
    own_storage,
    reduced_bytes,
    skipped_steps,
)
from .step_counts import StepCounts
from .update.banks import Banks

P = ParamSpec("P")
T = TypeVar("T")


class StatefulOptimizer(Optimizer):
    """What `GaLoreAdamW` holds from step to step, with torch's ways of saving and loading it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what torch copies of an optimizer; pending gradients are not among it."""
        super().__setstate__(state)
        if "_strategies" in self.__dict__:  # torch loads a state through here, hooks in place
            self._strategies.previous.clear()
            self._places.doubt()
            if self._loading is not None:
                # torch has cast the tensors to the dtypes of the parameters, or shares them.
                self.state.update(copied_states(self.param_groups, self._loading))
        else:
            self._start_anew()

    def _start_anew(self) -> None:
        self._counts = StepCounts()
        self._places = Places()
        # Weakly, so that an optimizer that is let go ends, and the hooks of `attach` with it.
        peers = _weakly(self._with_state)
        self._strategies = Strategies(peers, _weakly(self._entry_of))
        self._banks = Banks(peers, self._counts)
        self._loading: dict[str, Any] | None = None
        self.reduced_bytes = 0
        """Bytes that `GaLoreAdamW.reduce` had summed, or sent from one rank to all, so far."""

    def state_dict(self) -> dict[str, Any]:
        """The state and the options of the groups, as tensors with storage of their own."""
        saved = super().state_dict()
        states = [(index, state) for index, state in saved["state"].items() if state]
        own = {index: own_storage(state, self._counts) for index, state in states}
        return {**saved, "state": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state and the options of its groups, lr included.

        The tensors are copied: nothing is shared with `state_dict`. They keep this optimizer's
        dtypes and devices, so that the basis of a bfloat16 weight stays float32. A state of an
        earlier version goes on as it was: options that came later are at what was done before.

        Raises:
            ValueError: The state was saved with another rank, side or projector, for other shapes,
                or by another optimizer; nothing was changed.
        """

        def accept(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
            """After the user's hooks."""
            self._loading = migrated(saved)
            check_loadable(self.param_groups, self._loading)
            return self._loading

        last_hook = self.register_load_state_dict_pre_hook(accept)
        try:
            super().load_state_dict(state_dict)
        finally:
            last_hook.remove()
            self._loading = None

    @torch.no_grad()
    def share_state(self, broadcast: Callable[[list[Tensor]], object]) -> None:
        """Give every data-parallel rank the state of one, as where ranks join after a restart.

        To be called on every rank. Ranks that made no step yet get an empty state first.

        Args:
            broadcast: Overwrites tensors with those of one rank, such as `Broadcast()`.
        """
        places = self._places.of(self.param_groups)
        trained = [self._entry(place) for p, place in places.items() if p.requires_grad]
        share(((entry.state, entry.parameter.device) for entry in trained), broadcast)
        self._counts.doubt()

    def state_bytes(self) -> int:
        """Bytes of storage that the state's tensors hold now, on all devices together."""
        return held_bytes(self.state.values())

    def bytes_to_reduce(self) -> float:
        """Bytes that `GaLoreAdamW.reduce` hands over at a step, the mean over many."""
        return sum(reduced_bytes(p, group) for group in self.param_groups for p in group["params"])

    @property
    def skipped_steps(self) -> int:
        """Steps that parameters skipped for NaN or Inf in their gradients, of all parameters
        together. Reading it waits for the devices; `state[parameter]["skipped"]` has each."""
        return skipped_steps(self.state.values())

    def _with_state(self) -> Iterator[Entry]:
        for parameter, place in self._places.since_the_last_step(self.param_groups).items():
            if self.state.get(parameter):
                yield self._entry(place)

    def _entry_of(self, parameter: Tensor) -> Entry:
        """To be asked between two steps: the groups are looked at once.

        Raises:
            ValueError: A group was edited into something that is not allowed, or the parameter was
                taken out.
        """
        if self._places.doubted:
            for group in self.param_groups:
                check_edited(group)
        place = self._places.since_the_last_step(self.param_groups).get(parameter)
        if place is None:
            raise ValueError(
                "A parameter was taken out of the groups of an optimizer that is attached to its "
                "model: call remove() of what attach returned first."
            )
        return self._entry(place)

    def _entry(self, place: Place) -> Entry:
        return place.entry(self.param_groups, self.state, self._counts)


def _weakly(method: Callable[P, T]) -> Callable[P, T]:
    """A method that does not keep its object alive; it is called while there is one."""
    reference = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        alive = reference()
        assert alive is not None
        return alive(*args, **kwargs)

    return call
