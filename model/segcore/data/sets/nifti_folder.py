"""`nifti_folder`: any folder of NIfTI volumes and labels, described by its configuration."""

import re
from typing import ClassVar

from pydantic.dataclasses import dataclass

from segcore.data.dataset import SPLITS, Split
from segcore.data.frames import FrameReader
from segcore.data.masks import IGNORE
from segcore.data.sets.folder import SPLIT, folder_of
from segcore.data.splits import Fractions, check_fractions, left_out
from segcore.data.volumes.volume_folder import Cases, Organs, VolumeConfig, divided, pairs
from segcore.registry import STRICT

FRACTIONS: Fractions = (0.6, 0.2, 0.2)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NiftiFolder(VolumeConfig):
    """Volumes and labels that lie in folders of their own and share file names."""

    name: ClassVar[str] = "nifti_folder"
    layout: ClassVar[str] = """expected layout, as the fields say:
    volumes  {root}/<volume_folder>/<name>.nii.gz or .nii
    labels   {root}/<label_folder>/<name>.nii.gz or .nii
{{split}} in a field stands for train, val and test."""

    classes: tuple[str, ...]
    """The organs and their labels, as `liver=6`. 0 is background; `ignore=255` are voxels whose
    truth nobody knows: they count in no loss and no score."""
    volume_folder: str = "volumes"
    """Folder of the volumes below root. `{split}` in it stands for a folder per split; without it,
    volumes are divided by `fractions`."""
    label_folder: str = "labels"
    """Folder of the labels below root, with `{split}` if volume_folder has it."""
    fractions: Fractions = FRACTIONS
    """Of train, val and test, in volumes, by the hash of their names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(self.fractions)
        if (SPLIT in self.volume_folder) != (SPLIT in self.label_folder):
            raise ValueError(f"write {SPLIT} in both volume_folder and label_folder, or in neither")
        if SPLIT in self.volume_folder and self.fractions != FRACTIONS:
            raise ValueError(f"fractions change nothing where folders say the split ({SPLIT})")

    def known_organs(self) -> Organs:
        """What `classes` says.

        Raises:
            ValueError: a text of another form, or a name or a label twice.
        """
        matches = [re.fullmatch(r"([^=]+)=([0-9]+)", text) for text in self.classes]
        found = {m[1].strip(): int(m[2]) for m in matches if m is not None and 0 < int(m[2]) < 256}
        if len(found) < len(self.classes) or len({*found.values()}) < len(found):
            raise ValueError(
                f"classes = {self.classes}: write each as liver=6, with a label from 1 to 255, "
                "every name and every label once"
            )
        return {name: label for name, label in found.items() if name != IGNORE}

    def unknown_label(self) -> int | None:
        """What `classes` has as `ignore`."""
        labels = [text.partition("=")[2] for text in self.classes if _name(text) == IGNORE]
        return int(labels[0]) if labels else None

    def left_out(self) -> list[Split]:
        """What `fractions` gives nothing."""
        return [] if SPLIT in self.volume_folder else left_out(self.fractions)

    def cases(self, reader: FrameReader) -> Cases:
        """The volumes of each split."""
        if SPLIT not in self.volume_folder:
            found = pairs(reader, reader.root / self.volume_folder, reader.root / self.label_folder)
            return divided(reader, found, self.fractions)
        return {
            split: pairs(
                reader,
                folder_of(reader.root, self.volume_folder, split),
                folder_of(reader.root, self.label_folder, split),
            )
            for split in SPLITS
        }


def _name(text: str) -> str:
    return text.partition("=")[0].strip()
