"""What is tested must not have been trained or selected on: no image and no patient of it."""

from collections.abc import Iterator, Mapping

from segcore.data.dataset import Dataset, Source
from segcore.data.faults import DataError, Faults

_SEEN = ("train", "val")
_ADVICE = (
    "The best epoch is chosen on val: with these it would be chosen, or trained, on what is "
    "tested. Take them out of one of the two sides."
)


def check_separate(dataset: Dataset, external: Dataset | None, *, same_names: bool = False) -> None:
    """Look for images of `test` and of the external set that train or val have too.

    Images count as the same where their files have the same bytes. Patients are compared within
    a data set by its reader, and across two where a name means the same in both.

    Args:
        dataset: what is trained, selected and tested on.
        external: the external set, whose test split is tested on.
        same_names: whether both name patients alike, being data sets of one kind.

    Raises:
        DataError: names every one that is on both sides.
    """
    faults = Faults()
    tested = {"test": dataset.sources("test")}
    if external is not None:
        tested["external"] = external.sources("test")
    for seen in _SEEN:
        for name, sources in tested.items():
            known = dataset.sources("train" if seen == "train" else "val")
            faults.extend(f"image in {seen} and in {name}", _same_images(known, sources))
            if name == "external" and same_names:
                patients = {s.patient_id for s in known.values()}
                shared = patients & {s.patient_id for s in sources.values()}
                faults.extend(f"patient in {seen} and in {name}", sorted(shared))
    if faults:
        raise DataError("\n".join(["data that select on test:", *faults.lines(), _ADVICE]))


def _same_images(known: Mapping[str, Source], tested: Mapping[str, Source]) -> Iterator[str]:
    by_hash = {source.image_hash: sample_id for sample_id, source in known.items()}
    for sample_id, source in tested.items():
        if source.image_hash in by_hash:
            other = by_hash[source.image_hash]
            yield sample_id if sample_id == other else f"{other} and {sample_id}"
