"""GaLore and its kin: one optimizer; the methods differ in the projector and nothing else.

GaLore: Zhao et al., arXiv 2403.03507. SRFT-GaLore: arXiv 2511.03163. What the options do is told in
`srft_galore`. `galore` and `srft_galore` have their papers' plain options as defaults, so that they
differ in the projector alone: moments stay as they are at a refresh, and bases start anew.
`srft_galore_plus` has those that the measurements in `srft_galore`'s README recommend.
"""

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from segcore.methods.method import (
    LARGEST_RANK,
    AdaptingMethod,
    freeze_pretrained,
    head_groups,
    layers_to_adapt,
    parameter_groups,
)
from segcore.methods.updater import LOSS, Updater
from segcore.registry import STRICT
from segcore.systems.system import System, Targets
from segcore.training.schedule import OptimConfig
from srft_galore import GaLoreAdamW
from srft_galore.groups.checks import complete_group

_ADAM = {"lr": 1.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProjectedGradient(AdaptingMethod):
    """What all share: the targets' weights move by a projection of their gradients."""

    projector: ClassVar[str]
    of_head_rate: ClassVar[float] = 1.0
    targets: Targets = "attention"

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        # Not by an optimizer: torch's first one brings its compiler, a second of imports.
        complete_group({"params": [], **self._projection()}, _ADAM)
        return self

    @property
    def splits_qkv(self) -> bool:
        """Whether q, k and v of a fused projection have a basis each."""
        return False

    def _projection(self) -> dict[str, Any]:
        """Options of the optimizer's projected groups."""
        return {"rank": 1, "projector": self.projector}

    def adapt(self, system: System) -> None:
        """Let the targets' weights move; their biases stay, as in the published code.

        Raises:
            ValueError: the system has no such target.
        """
        freeze_pretrained(system)
        for module in layers_to_adapt(system, self.targets).values():
            module.weight.requires_grad_(True)

    def optimizer(self, system: System, optim: OptimConfig) -> GaLoreAdamW:
        """Plain AdamW on the head, projected AdamW on the targets.

        Raises:
            ValueError: `split_qkv` without a fused projection among the targets.
        """
        targets = system.adaptable(self.targets)
        fused = set(system.fused_qkv()) & set(targets) if self.splits_qkv else set()
        if self.splits_qkv and not fused:
            raise ValueError("method.split_qkv: no target is a fused q, k, v; set it to False")
        options, rate = self._projection(), self.rate(optim)
        whole = [module.weight for name, module in targets.items() if name not in fused]
        split = [module.weight for name, module in targets.items() if name in fused]
        groups = [
            *head_groups(system, optim),
            *parameter_groups(system, whole, rate, optim, **options),
            *parameter_groups(system, split, rate, optim, blocks=3, **options),
        ]
        return GaLoreAdamW(groups, eps=optim.eps, weight_decay=optim.weight_decay)

    def updater(self, system: System, optim: OptimConfig) -> "ProjectedUpdater":
        """Attached to the system where `refresh_from` is `previous`."""
        optimizer = self.optimizer(system, optim)
        kind = ReleasingUpdater if optimizer.releases_gradients else ProjectedUpdater
        return kind(system, optimizer)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Identity(ProjectedGradient):
    """The control of the others: the same optimizer on the same weights, with the whole space in
    the place of a basis. What a low rank costs is the difference to this."""

    name: ClassVar[str] = "identity"
    projector: ClassVar[str] = "identity"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LowRankGradient(ProjectedGradient):
    """Projections on `rank` directions of the gradient, which are looked for again and again."""

    rank: Annotated[int, Field(ge=1, le=LARGEST_RANK)] = 8
    update_proj_gap: Annotated[int, Field(ge=1)] = 50
    """Optimizer steps between two refreshes of the basis."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the back-projected update."""
    side: Literal["short", "left", "right", "input"] = "short"
    """Which side of the gradient is projected; `short` is GaLore's rule, `input` the side of the
    layer's input."""
    split_qkv: bool = False
    """Whether q, k and v of a fused projection have a basis each."""
    stagger: bool = False
    """Whether weights take turns, so that no step refreshes them all."""
    moments: Literal["keep", "rotate", "reset"] = "keep"
    """What becomes of Adam's moments at a refresh; `keep` is GaLore's way."""

    @property
    def splits_qkv(self) -> bool:
        """Whether q, k and v of a fused projection have a basis each."""
        return self.split_qkv

    def _sketch(self) -> dict[str, Any]:
        """Options of the projector's own."""
        return {}

    def _projection(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "update_proj_gap": self.update_proj_gap,
            "scale": self.scale,
            "projector": self.projector,
            "side": self.side,
            "stagger": self.stagger,
            "moments": self.moments,
            **self._sketch(),
        }


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Galore(LowRankGradient):
    """The basis is the exact leading singular vectors of the current gradient; the options are the
    paper's, for comparisons."""

    name: ClassVar[str] = "galore"
    projector: ClassVar[str] = "svd"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GalorePublished(LowRankGradient):
    """GaLore as its authors' optimizer has it (jiaweizzhao/GaLore, 2cc66f8): a quarter of the
    update, a new basis every 200 steps, and singular vectors whose signs are as they come, so that
    a moment may be kept of a direction that has turned round. Its Adam's epsilon is 1e-6
    (`optim.eps`)."""

    name: ClassVar[str] = "galore_published"
    projector: ClassVar[str] = "svd"
    update_proj_gap: Annotated[int, Field(ge=1)] = 200
    """Optimizer steps between two refreshes of the basis."""
    scale: Annotated[float, Field(gt=0)] = 0.25
    """Factor of the back-projected update."""

    def _sketch(self) -> dict[str, Any]:
        return {"signs": "free"}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SrftGalore(LowRankGradient):
    """The basis is the range of a subsampled randomized Fourier sketch of the gradient; the options
    are the paper's, for comparisons."""

    name: ClassVar[str] = "srft_galore"
    projector: ClassVar[str] = "srft"
    oversample: Annotated[int, Field(ge=0)] = 0
    """Sketch columns beyond `rank`, truncated after the sketch."""
    power_iterations: Annotated[int, Field(ge=0)] = 0
    """Multiplications of the sketch by G G^T before it is orthonormalised."""
    start: Literal["cold", "warm"] = "cold"
    """Whether a refresh starts from the old basis, with `oversample` random columns beside it."""
    refresh_from: Literal["current", "previous"] = "current"
    """Which step's gradient a basis comes from. `previous` frees gradients in the backward pass
    and lets workers exchange projections alone."""
    sketch: Literal["shared", "per_weight"] = "shared"
    """Whether weights of one shape share the random matrix, which is then drawn once, or have one
    each, as in the published code."""

    def _sketch(self) -> dict[str, Any]:
        return {
            "oversample": self.oversample,
            "power_iterations": self.power_iterations,
            "start": self.start,
            "refresh_from": self.refresh_from,
            "sketch": self.sketch,
        }


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SrftGalorePlus(SrftGalore):
    """The recommended recipe: a basis every 5 steps that starts from the old one and 8 random
    columns, and moments that are carried over to it."""

    name: ClassVar[str] = "srft_galore_plus"
    update_proj_gap: Annotated[int, Field(ge=1)] = 5
    """Optimizer steps between two refreshes of the basis; 20 where the optimizer's step takes long
    beside the model's."""
    start: Literal["cold", "warm"] = "warm"
    """Whether a refresh starts from the old basis, with `oversample` random columns beside it."""
    oversample: Annotated[int, Field(ge=0)] = 8
    """Sketch columns beyond `rank`, truncated after the sketch."""
    moments: Literal["keep", "rotate", "reset"] = "rotate"
    """What becomes of Adam's moments at a refresh."""
    residual: Literal["drop", "sign"] = "drop"
    """What a step does with the gradient outside of the subspace: nothing, or a small step of one
    size in each coordinate. Needs `refresh_from` `current`."""

    def _sketch(self) -> dict[str, Any]:
        return {**super()._sketch(), "residual": self.residual}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SrftGalorePublished(LowRankGradient):
    """The basis as the published code of SRFT-GaLore computes it, a sketch for each weight."""

    name: ClassVar[str] = "srft_galore_published"
    projector: ClassVar[str] = "srft_published"

    def _sketch(self) -> dict[str, Any]:
        return {"sketch": "per_weight"}


class ProjectedUpdater(Updater):
    """Whole gradients are summed and clipped; the bases come from them, before the step."""

    optimizer: GaLoreAdamW

    def refresh(self) -> None:
        """Compute the bases that are due."""
        self.optimizer.refresh()


class ReleasingUpdater(ProjectedUpdater):
    """A gradient is projected and freed in the backward pass, as soon as it is whole."""

    keeps_gradients: ClassVar[bool] = False

    def __init__(self, system: System, optimizer: GaLoreAdamW) -> None:
        super().__init__(system, optimizer)
        self._attachment = optimizer.attach(system)

    @property
    def sends_projections(self) -> bool:
        """Whether several workers sum projections of gradients, and not the gradients."""
        return True

    def bytes_to_sum(self) -> float:
        """Bytes that each of several workers hands over at a step, the mean over many."""
        return LOSS + self.optimizer.bytes_to_reduce()

    def reduce_and_clip(self, loss: Tensor, clip_norm: float | None) -> Tensor:
        """What is summed and clipped is the projection of a gradient."""
        self.optimizer.reduce(
            lambda tensors: self._sum([*tensors, loss]),
            self._runtime.broadcast,
            rank=self._runtime.rank,
            world=self._runtime.world,
        )
        return self.optimizer.clip_grad_norm_(clip_norm or math.inf)

    def _to_send(self, parameter: Tensor) -> list[Tensor]:
        return self._attachment.kept(parameter) or super()._to_send(parameter)
