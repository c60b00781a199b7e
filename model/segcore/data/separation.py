"""What is tested must not have been trained or selected on: no image and no patient of it.

Patient `1` of one hospital is not `1` of another, so names are compared across two sets only where
something says that they are given alike: see `one_naming`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from segcore.data.dataset import SPLITS, DataConfig, Dataset, Source, Split
from segcore.data.faults import DataError, Faults

_SEEN = ("train", "val")
_ADVICE = (
    "The best epoch is chosen on val: with these it would be chosen, or trained, on what is "
    "tested. Take them out of one of the two sides."
)


EMPTY: Mapping[Split, str] = {
    "train": "there is nothing to train on",
    "val": "the best epoch is chosen on val",
}
Opened = tuple[DataConfig, Dataset]
"""A data set's configuration, and the same set, open."""


def check_sets(
    data: Opened, external: Opened | None, *, without_depth: str | None, others: Iterable[str] = ()
) -> None:
    """See that open sets have what a training needs, and that nothing seen is tested on.

    Args:
        data: what is trained, selected and tested on.
        external: what is tested on besides.
        without_depth: what to do where a set has no depth maps; None: they are not needed.
        others: further faults to be told with those found here.

    Raises:
        DataError: train or val is empty, depth maps are needed and a set has none, the external
            set has other classes or no test split, or train or val share images or patients with
            what is tested; all of them.
    """
    faults = [*_lacking(data[1], None if external is None else external[1], without_depth), *others]
    try:
        if external is None:
            check_separate(data[1], None)
        else:
            naming = one_naming(data[0], external[0])
            check_separate(data[1], external[1], naming=naming)
    except DataError as error:
        faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))


def _lacking(
    dataset: Dataset, external: Dataset | None, without_depth: str | None
) -> Iterator[str]:
    for split, why in EMPTY.items():
        if not dataset.ids(split):
            yield f"data: no image is in {split}, and {why}: change how data are split"
    for field, opened in (("data", dataset), ("evaluation.external", external)):
        if opened is not None and without_depth is not None and not opened.has_depth:
            yield f"{field} has no depth maps for every image: {without_depth}"
    if external is None:
        return
    if not external.ids("test"):
        yield (
            "evaluation.external: no image is in test, the one split of it that is scored: "
            "change how it is split (`folder` puts all in test with fractions=(0, 0, 1))"
        )
    if external.classes != dataset.classes:
        yield (
            f"evaluation.external has the classes {external.classes}, the data have "
            f"{dataset.classes}: give an external set of the same classes"
        )


def one_naming(data: DataConfig, external: DataConfig) -> str | None:
    """Why two sets call one patient by one name; None: nothing says that they do.

    They do where they lie in one folder, and where they are two editions of one published set
    (`l3d` and `l3d_2k`). Two sets of one layout in folders of their own need not: either may be
    somebody's own frames.
    """
    if not (data.names_patients and external.names_patients):
        return None
    for one in _folders(data):
        for other in _folders(external):
            if one.is_relative_to(other) or other.is_relative_to(one):
                return f"both lie in {min(one, other, key=lambda p: len(p.parts))}"
    kinds = type(data), type(external)
    if kinds[0] is not kinds[1] and (issubclass(*kinds) or issubclass(*reversed(kinds))):
        return f"{data.name} and {external.name} are editions of one set"
    return None


def _folders(config: Any) -> list[Path]:
    """The folders that a set is read from, where its fields say so."""
    values = [
        getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get("location")
    ]
    return [Path(v).resolve() for v in values if v is not None]


def check_separate(
    dataset: Dataset, external: Dataset | None, *, naming: str | None = None
) -> None:
    """Look for images of `test` and of the external set that train or val have too.

    Images count as the same where their files have the same bytes. Patients are compared within
    a data set by its reader, and across two where a name means the same in both: where `naming`
    says so, or where any image is in both.

    Args:
        dataset: what is trained, selected and tested on.
        external: the external set, whose test split is tested on.
        naming: as `one_naming` says.

    Raises:
        DataError: names every one that is on both sides.
    """
    faults = Faults()
    tested = {"test": dataset.sources("test")}
    if external is not None:
        tested["external"] = external.sources("test")
        if naming is None and _overlap(dataset, external):
            naming = "they have images in common"
    for seen in _SEEN:
        for name, sources in tested.items():
            known = dataset.sources("train" if seen == "train" else "val")
            faults.extend(f"image in {seen} and in {name}", _same_images(known, sources))
            if name == "external" and naming is not None:
                patients = {s.patient_id for s in known.values()}
                shared = patients & {s.patient_id for s in sources.values()}
                faults.extend(f"patient in {seen} and in {name} ({naming})", sorted(shared))
    if faults:
        raise DataError("\n".join(["data that select on test:", *faults.lines(), _ADVICE]))


def _overlap(dataset: Dataset, external: Dataset) -> bool:
    """Whether the two sets share an image, in whatever splits."""
    here, there = (
        {s.image_hash for split in SPLITS for s in opened.sources(split).values()}
        for opened in (dataset, external)
    )
    return not here.isdisjoint(there)


def _same_images(known: Mapping[str, Source], tested: Mapping[str, Source]) -> Iterator[str]:
    by_hash = {source.image_hash: sample_id for sample_id, source in known.items()}
    for sample_id, source in tested.items():
        if source.image_hash in by_hash:
            other = by_hash[source.image_hash]
            yield sample_id if sample_id == other else f"{other} and {sample_id}"
