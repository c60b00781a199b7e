"""What is on record of a study's data: patients, images and classes of each split."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from segcore.data.dataset import Source
    from segcore.data.frame_folder import FolderConfig
    from segcore.data.survey import Survey
    from segtune.results.data_facts import SetFacts, SharedFacts
    from segtune.results.storage import Place
    from segtune.study.spec import Study


def describe(study: "Study", name: str, storage: "Place") -> "tuple[SetFacts, ...]":
    """Count what a study's data hold, and keep it beside the study's tables.

    Args:
        study: whose data are counted, every label in full.
        name: that it was run under.
        storage: the folder that holds the studies.

    Raises:
        ValueError: nothing was run under this name; a folder is not there, or has changed since
            the trials ran; a data set is none that can be counted.
    """
    from segtune.results import data_facts, tables

    trials = tables.read(storage, name, "trials")
    if not len(trials):
        raise ValueError(f"no trial of a study {name!r} under {storage}: run it first")
    found = tuple(_sets(study))
    hashes = {str(h) for h in trials["data_hash"].to_pylist() if h is not None}
    for one in found:
        if one.role == "data" and not _parts(study) and hashes and one.content_hash not in hashes:
            raise ValueError(
                f"{one.name} has the hash {one.content_hash[:16]}, and trials of {name} ran with "
                f"{', '.join(sorted(h[:16] for h in hashes))}: these are other data"
            )
    data_facts.write(storage, name, found)
    return found


def describe_once(study: "Study", name: str, storage: "Place", console: Console) -> None:
    """The same after a run, unless it is on record. A run has ended well by then: what keeps data
    from being counted is told, and no more."""
    from segtune.results import data_facts, tables

    try:
        if _recorded(data_facts.read(storage, name), tables.read(storage, name, "trials")):
            return
        with console.status("counting what the data hold"):
            describe(study, name, storage)
    except (ValueError, OSError) as error:
        told = f"what the data hold was not counted: {str(error).partition(chr(10))[0]}"
        console.print(told, style="yellow", highlight=False)


def lines(sets: "tuple[SetFacts, ...]") -> Iterator[str]:
    """What was counted, for the terminal."""
    for one in sets:
        yield f"{one.name} ({one.role}), hash {one.content_hash[:16]}"
        for split, count in one.splits.items():
            classes = ", ".join(
                f"{c} in {n} ({count.share[c]:.1%} of pixels)" for c, n in count.labelled.items()
            )
            yield f"  {split}: {count.images} images of {count.patients} patients; {classes}"
        for pair in one.shared:
            if pair.images or pair.patients:
                yield (
                    f"  {' and '.join(pair.splits)} share {pair.images} images and "
                    f"{pair.patients or 0} patients"
                )


def _recorded(sets: "tuple[SetFacts, ...]", trials: Any) -> bool:
    hashes = {h for h in trials["data_hash"].to_pylist() if h is not None}
    return bool(sets) and hashes <= {one.content_hash for one in sets}


def _configs(study: "Study") -> list[Any]:
    """Configurations that differ in the data that they read, the baseline first."""
    from segtune.study.overrides import apply
    from segtune.study.spec import Ablation

    arms = study.all_arms().values() if isinstance(study, Ablation) else [{}]
    found: dict[str, Any] = {}
    for changes in ({}, *arms):
        config = apply(study.baseline, changes)
        found.setdefault(repr((config.data, config.evaluation.external)), config)
    return list(found.values())


def _parts(study: "Study") -> bool:
    """Whether trainings take parts of the data set, whose hashes are then not the whole one's."""
    folds = getattr(study, "folds", None)
    return folds is not None or study.baseline.train_share < 1


def _sets(study: "Study") -> "Iterator[SetFacts]":
    from segcore.data.separation import one_naming
    from segcore.data.survey import survey

    told: set[str] = set()
    for config in _configs(study):
        data, external = _folder(config.data), config.evaluation.external
        own = survey(data)
        if repr(data) not in told:
            sources = {split: own.sound.sources(split) for split in own.splits}
            pairs = combinations(sources, 2)
            shared = tuple(_shared((a, b), sources[a], sources[b], named=True) for a, b in pairs)
            yield _facts(data, own, "data", own.splits, shared)
        told.add(repr(data))
        if external is None or repr(external) in told:
            continue
        other = survey(_folder(external))
        tested = {"test": other.splits["test"]}
        named = one_naming(data, external) is not None
        of_other = other.sound.sources("test")
        shared = tuple(
            _shared((split, "external"), own.sound.sources(split), of_other, named=named)
            for split in own.splits
        )
        yield _facts(_folder(external), other, "external", tested, shared)
        told.add(repr(external))


def _facts(
    config: "FolderConfig",
    found: "Survey",
    role: Any,
    splits: Mapping[Any, Any],
    shared: "tuple[SharedFacts, ...]",
) -> "SetFacts":
    from segtune.results.data_facts import SetFacts, SplitFacts

    return SetFacts(
        name=config.name,
        role=role,
        content_hash=found.content_hash,
        names_patients=config.names_patients,
        splits={
            s: SplitFacts(n.images, n.patients, n.labelled, n.share) for s, n in splits.items()
        },
        sizes={f"{height}x{width}": n for (width, height), n in found.sizes.items()},
        shared=shared,
        repeated=len(found.repeated),
    )


def _shared(
    splits: tuple[str, str],
    one: "Mapping[str, Source]",
    other: "Mapping[str, Source]",
    *,
    named: bool,
) -> "SharedFacts":
    from segtune.results.data_facts import SharedFacts

    images, patients = (
        len({getattr(s, field) for s in one.values()} & {getattr(s, field) for s in other.values()})
        for field in ("image_hash", "patient_id")
    )
    return SharedFacts(splits, images, patients if named else None)


def _folder(config: Any) -> "FolderConfig":
    """A data set that is a folder of files.

    Raises:
        ValueError: it is none.
    """
    from segcore.data.frame_folder import FolderConfig

    if not isinstance(config, FolderConfig):
        raise ValueError(f"{config.name} is no folder of files: there is nothing to count")
    return config
