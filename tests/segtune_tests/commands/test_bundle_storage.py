"""A bundle of a study in an object store is that of the same study in a folder."""

from pathlib import Path

from support.studies.known_study import STEADY, write_study

from segtune.commands.bundling.bundle import make
from segtune.results.storage import Place


def test_bundles_of_both_storages_are_alike(storage: Place, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_study(folder, {arm: values[:1] for arm, values in STEADY.items()})
    for file in (f for f in folder.rglob("*") if f.is_file()):
        place = storage
        for part in file.relative_to(folder).parts:
            place = place / part
        place.write(file.read_bytes())
    bundles = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for where, out in zip((Place.of(folder), storage), bundles, strict=True):
        make(where, "known", out)
    assert bundles[0].read_bytes() == bundles[1].read_bytes()
