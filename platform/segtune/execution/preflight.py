"""Check what a run depends on before anything starts: study, storage, data and weights."""

import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from segtune.execution.resources import Resources, check_amounts
from segtune.results import study_file
from segtune.results.storage import Place, Storage, plain_message
from segtune.study import definition
from segtune.study.overrides import SpecError, resolve_locations
from segtune.study.space import ends
from segtune.study.spec import Ablation, Study
from segtune.study.trial import Trial
from segtune.study.validate import check_name, validate


def check_study(study: Study, name: str, storage: Storage, resources: Resources) -> dict[str, Any]:
    """Check a study, its name, its storage and its resources, before any data are read.

    Returns:
        The study's definition, to be written to its `study.json`.

    Raises:
        SpecError: every mistake in any of them, or a study of this name with another definition.
    """
    faults = faults_of(
        partial(check_name, name),
        partial(validate, study),
        partial(_check_writable, storage),
        partial(check_amounts, resources),
    )
    if faults:
        raise SpecError(faults)
    kept = definition.define(name, study)
    if (old := study_file.read(storage, name)) is not None:
        definition.check_grown(old, kept)
        return definition.keep_history(old, kept, datetime.now(UTC))
    return kept


def check_data_and_weights(study: Study, resources: Resources) -> None:
    """Read the data and weights that the trials will need.

    Raises:
        SpecError: whatever is wrong with them, and arms that change nothing.
    """
    configs = [t.config for t in every_trial(study)]
    faults = data_faults(study, OpenedSets())
    faults += faults_of(*{repr(c.system): c.system.check_weights for c in configs}.values())
    faults += [
        f"schedule.batch_size = {size} leaves some of {resources.most} workers without a "
        "sample: give a larger one, or fewer workers"
        for size in sorted({c.schedule.batch_size for c in configs})
        if size < resources.most
    ]
    if not faults and isinstance(study, Ablation):
        from segtune.execution.duplicate_arms import find_duplicate_arms  # builds networks

        faults = find_duplicate_arms(study)
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))


def data_faults(study: Study, opened: "OpenedSets") -> list[str]:
    """What is wrong with the data, or with what trials ask of them (classes, folds). Images are
    decoded until one shows a class."""
    from segcore.data.survey import check_labelled

    users: dict[str, list[Any]] = {}
    for config in (trial.config for trial in every_trial(study)):
        read = (config.data, config.evaluation, config.train_share, config.fold)
        users.setdefault(repr(read), []).append(config)
    found = []
    for same in users.values():
        try:
            sets = opened.of(same[0])
        except ValueError as error:
            found.append(str(error))
            continue
        needs = {repr((c.system.needs_depth, c.system.loss)): c for c in same}
        found += faults_of(*(partial(c.check_sets, *sets) for c in needs.values()))
        found += faults_of(partial(check_labelled, sets[0]))
    return list(dict.fromkeys(found))


class OpenedSets:
    """The data sets of trainings, each opened once, however many trainings use it: to open one is
    to read every file of it."""

    def __init__(self) -> None:
        self._opened: dict[str, Any] = {}

    def of(self, config: Any) -> Any:
        """What `open_sets` of a training's configuration gives.

        Raises:
            ValueError: as of `open_sets`, each time again.
        """
        config = resolve_locations(config)  # as trials have them
        read = repr((config.data, config.evaluation.external, config.train_share, config.fold))
        if read not in self._opened:
            try:
                self._opened[read] = config.open_sets()
            except ValueError as error:
                self._opened[read] = error
        if isinstance(found := self._opened[read], ValueError):
            raise found
        return found


def faults_of(*checks: Callable[[], Any]) -> list[str]:
    """Run checks, and collect the messages of those that raise an error."""
    found: list[str] = []
    for check in checks:
        try:
            check()
        except SpecError as error:
            found += error.faults
        except ValueError as error:
            found.append(str(error))
    return found


def every_trial(study: Study) -> list[Trial]:
    """Every trial of an ablation; of a search, the baseline and both ends of each range."""
    if isinstance(study, Ablation):
        return [*study.tuning_trials(), *study.trials({})]
    alone = []
    for changes in ({}, *(changes for _, changes in ends(study.space))):
        with suppress(SpecError):  # a value may be valid only together with others
            alone.append(study.trial(0, changes, 0))
    return alone


def _check_writable(storage: Storage) -> None:
    place = Place.of(storage)
    if place.local is None:
        check_store(place)
        return
    there = next(p for p in (place.local, *place.local.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as probe:  # what permissions say may not hold
            probe.write(b"-")
    except OSError as error:
        raise SpecError(
            [
                f"can't write to {place}: {there} is not a folder that this user may write to "
                f"({error.strerror}). Give another one with --storage"
            ]
        ) from error


def check_store(place: Place) -> None:
    """Write a small object where studies are to be kept, and remove it.

    Raises:
        SpecError: the store can't be reached, has no such bucket, or lets nobody write there.
    """
    probe = place / f"segtune-probe-{uuid.uuid4().hex}"
    try:
        probe.write(b"-")
        probe.remove()
    except OSError as error:
        assert place.store is not None
        needs = place.store.needs
        said = error.strerror or plain_message(error)
        if said.startswith("pyarrow can't open"):
            raise SpecError([said]) from error
        said = said.removesuffix(f". {needs}")
        raise SpecError([f"can't write to {place}: {said}. {needs}"]) from error
