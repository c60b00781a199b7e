"""What a strategy decides: which gradient a basis comes from, and what is kept until the step."""

from collections.abc import Sequence

from torch import Tensor

from srft_galore.entries import Entry


class RefreshStrategy:
    """How the optimizer treats the parameters of one value of `refresh_from`.

    In a step the optimizer calls `receive` for each parameter, `refresh`, and `gradient` (or
    `unprojected`) for each. The first two may have been called before the step, more than once.
    """

    def receive(self, entry: Entry) -> None:
        """Look at a parameter that takes part in the coming step; `grad` may hold a gradient."""

    def refresh(self, entries: Sequence[Entry]) -> None:
        """Compute the bases of these parameters that are due; a second call changes nothing."""
        raise NotImplementedError

    def gradient(self, entry: Entry) -> Tensor | None:
        """The gradient as AdamW takes it; None where the parameter stays as it is."""
        raise NotImplementedError

    def unprojected(self, entry: Entry) -> Tensor | None:
        """The gradient as it is kept: whole, or projected where it was freed; None where there is
        none. Clipping scales it in place."""
        raise NotImplementedError

    def is_spoiled(self, entry: Entry) -> bool:
        """Whether NaN or Inf was seen that `gradient` does not show."""
        return False
