"""How a study runs, and whether there is enough for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segtune.study.money import Money
from segtune.study.overrides import SpecError

SMALLEST = 0.0001
"""Ray counts CPUs and GPUs in ten-thousandths: less than one of them is nothing to it."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How a study runs. It does not change what its trials compute."""

    workers: int = 1
    """Workers of one trial."""
    max_workers: int | None = None
    """A trial has `workers` at least and this many at most, as nodes come and go; None means always
    `workers`. The workers of the moment share each batch, so that a step computes the same."""
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    """Below 1, a trial of one worker shares its GPU with others: it may take this share of the
    GPU's memory and no more. Above 1, the worker computes on the first of them."""
    concurrent: int | None = None
    """Most trials at a time; None means as many as fit."""
    patience: float = 30 * 60
    """Seconds without a step or a predicted batch after which a worker is given up as hanging."""
    price_per_hour: Money | None = None
    """Of one trial: of the share of a machine that its workers take, whatever else runs there. A
    trial that goes on elsewhere has the price of each part. None: nothing is told in money."""

    @property
    def most(self) -> int:
        """Workers of a trial where there is room for all of them."""
        return self.workers if self.max_workers is None else self.max_workers

    @property
    def in_train_run(self) -> bool:
        """Whether a trial's workers are those of a Ray Train run, as several and those on GPUs are.

        One worker on CPUs trains in a process that is forked for it, which starts at once. On a GPU
        the seconds that a Ray Train run takes to start are little beside a training, and Ray's
        dashboard shows each worker with the GPU that it has.
        """
        return self.most > 1 or self.gpus_per_worker > 0


def check_resources(resources: Resources, nodes: Sequence[Mapping[str, float]], where: str) -> None:
    """Check that a trial asks for no more than there is: else it would wait for ever.

    Args:
        resources: what one trial asks for.
        nodes: CPU and GPU of each node.
        where: what has them, for the message.

    Raises:
        SpecError: a number out of range, or more than there is.
    """
    check_amounts(resources)
    faults = []
    for kind, each in _asked(resources).items():
        there = sum(node.get(kind, 0) for node in nodes)
        if each * resources.workers > there:
            faults.append(
                f"a trial asks for {each * resources.workers:g} {kind} ({resources.workers} "
                f"x {each:g}), but {where} has {there:g}: it would wait for ever. "
                f"Ask for fewer workers or {kind}s, or give a larger cluster with --address"
            )
    if not faults and _workers_that_fit(resources, nodes) < resources.workers:
        faults.append(
            f"{resources.workers} workers of {_words(resources)} do not fit on the nodes of "
            f"{where}: a worker needs all it asks for on one node. Ask for less per worker"
        )
    if faults:
        raise SpecError(faults)


def check_amounts(resources: Resources) -> None:
    """Numbers of workers, CPUs and GPUs must make sense wherever a study runs.

    Raises:
        SpecError: one line per number that does not.
    """
    faults = []
    if resources.workers < 1:
        faults.append(f"workers = {resources.workers}: a trial has at least 1")
    if resources.most < resources.workers:
        faults.append(
            f"workers = {resources.workers}:{resources.most}: give the least first, then the most"
        )
    cpus, gpus = resources.cpus_per_worker, resources.gpus_per_worker
    if not SMALLEST <= cpus < math.inf:
        faults.append(f"CPUs per worker = {cpus}: give at least {SMALLEST}")
    if not (gpus == 0 or SMALLEST <= gpus < math.inf):
        faults.append(f"GPUs per worker = {gpus}: give 0, or at least {SMALLEST}")
    elif gpus > 1 and gpus != int(gpus):
        faults.append(f"GPUs per worker = {gpus}: above 1 they can't be shared: give whole ones")
    elif 0 < gpus < 1 and resources.most > 1:
        faults.append(
            f"GPUs per worker = {gpus} for {resources.most} workers: NCCL, by which they sum "
            "gradients, wants a GPU for each of them: give 1, or one worker"
        )
    if resources.concurrent is not None and resources.concurrent < 1:
        faults.append(f"concurrent = {resources.concurrent}: give at least 1")
    if resources.price_per_hour is not None and resources.most != resources.workers:
        faults.append(
            f"a price per hour with workers = {resources.workers}:{resources.most}: what a trial "
            "costs is not known where its workers come and go: give one number of workers"
        )
    if not 0 < resources.patience < math.inf:
        faults.append(f"patience = {resources.patience / 60:g} minutes: give more than 0")
    if faults:
        raise SpecError(faults)


def fitting_trials(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials run at a time, each with all the workers that it may have."""
    fits = _workers_that_fit(resources, nodes) // resources.most
    return max(1, min(fits, resources.concurrent or fits))


def _workers_that_fit(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> int:
    asked = {kind: each for kind, each in _asked(resources).items() if each > 0}
    return sum(
        min(math.floor(node.get(kind, 0) / each) for kind, each in asked.items()) for node in nodes
    )


def _asked(resources: Resources) -> dict[str, float]:
    return {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}


def _words(resources: Resources) -> str:
    return " and ".join(f"{each:g} {kind}s" for kind, each in _asked(resources).items())
