"""`nnunet`: a data set in nnU-Net's raw layout, volumes or pictures: see `nnunet_layout`.

Channels of a volume are files of their own, of which one is looked at. Pictures are RGB or grey in
one file. `dataset.json` may be of nnU-Net's first version, as the Decathlon's are. Its label
`ignore` are pixels whose truth nobody knows: they count in no loss and no score.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Split
from segcore.data.faults import DataError
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, FrameReader, Scan
from segcore.data.mask_folder import MaskConfig, mask_faults, note_empty, pictures
from segcore.data.masks import IGNORE, GreyMask
from segcore.data.nnunet_layout import ABOUT, FOLDS, IMAGES, LABELS, channel_of
from segcore.data.sets.folder import EACH_ITS_OWN
from segcore.data.sets.nifti_folder import NiftiFolder
from segcore.data.splits import Share, check_pattern, group_of, taken_for_val
from segcore.data.volumes.volume_folder import SOFT_TISSUE, Case, Cases, volumes
from segcore.metrics.table import OF_CASES, OF_IMAGES
from segcore.registry import STRICT

LAYOUT = """expected layout, as nnU-Net has it:
    {root}/dataset.json, and splits_final.json where cases are divided already
    {root}/imagesTr/<case>_0000.nii.gz (.png) and {root}/labelsTr/<case>.nii.gz (.png)
    {root}/imagesTs and labelsTs alike: the test split; without labelsTs: test_labels=False"""
BACKGROUND = "background"
PICTURES = (".png", ".bmp", ".tif")
"""Endings of pictures that nnU-Net reads."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NnUnet(FolderConfig):
    """A folder `DatasetNNN_NAME` of nnU-Net's."""

    name: ClassVar[str] = "nnunet"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds dataset.json."""
    kind: Literal["volumes", "pictures"] = "volumes"
    """What the files are: NIfTI volumes, whose axial slices are images, or pictures."""
    classes: tuple[str, ...] | None = None
    """Labels of dataset.json that are segmented, the others being background; None: all. A single
    one makes a binary set, without a background channel."""
    channel: Annotated[int, Field(ge=0, le=9999)] = 0
    """Which file of a volume is looked at: 1 is <case>_0001."""
    window: tuple[float, float] = SOFT_TISSUE
    """The values of volumes that become black and white."""
    train_slices: Literal["labelled", "all"] = "labelled"
    """Which slices of a volume are trained on, as of `nifti_folder`."""
    patient: str = EACH_ITS_OWN
    """Regular expression of a picture's case; its first group is the patient. The default takes
    each for a patient of its own, as volumes always are."""
    fold: Annotated[int, Field(ge=0)] = 0
    """Of splits_final.json: which of its divisions into train and val."""
    val_from_train: Share = 0.2
    """Share of Tr that is val, by the hash of patients' names, where there is no
    splits_final.json."""
    test_labels: bool = True
    """Whether there is labelsTs; without it there is no test split."""

    def __post_init__(self) -> None:
        check_pattern("patient", self.patient)
        pictures = self.kind == "pictures"
        usual = {"channel": 0, "window": SOFT_TISSUE, "train_slices": "labelled"}
        if not pictures:
            usual = {"patient": EACH_ITS_OWN}
        if idle := [field for field, value in usual.items() if getattr(self, field) != value]:
            raise ValueError(f"kind={self.kind!r}: {', '.join(idle)} has no effect: leave it out")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images, and of volumes those of cases too."""
        return OF_IMAGES if self.kind == "pictures" else (*OF_IMAGES, *OF_CASES)

    @property
    def grey_window(self) -> tuple[float, float] | None:
        """The window of volumes."""
        return None if self.kind == "pictures" else self.window

    @property
    def names_patients(self) -> bool:
        """Whether a name is a patient's, not a picture's own."""
        return self.kind == "volumes" or self.patient != EACH_ITS_OWN

    def reader(self) -> FolderConfig:
        """What reads files of this kind.

        Raises:
            DataError: there is no dataset.json, or it can't be read so.
        """
        labels = self._labels()
        if self.kind == "pictures":
            return _Pictures(raw=self, known=tuple(labels.items()))
        return _Volumes(
            raw=self,
            root=self.root,
            classes=tuple(f"{name}={value}" for name, value in labels.items()),
            organs=self.classes,
            window=self.window,
            train_slices=self.train_slices,
        )

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder, or its dataset.json can't be read.
        """
        return self.reader().scan()

    def class_spec(self) -> ClassSpec:
        """The chosen labels."""
        return self.reader().class_spec()

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of a frame."""
        return self.reader().image(frame)

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of a frame."""
        return self.reader().labels(frame)

    def ignore(self, frame: Frame) -> NDArray[np.bool_] | None:
        """Where nobody knows the truth of a frame, (H, W)."""
        return self.reader().ignore(frame)

    def divided(self, reader: FrameReader) -> Cases:
        """The files of each split; what is missing is noted as a fault."""
        found: dict[Split, dict[str, Case]] = {split: {} for split in SPLITS}
        trained = self._pairs(reader, "Tr")
        for case, split in self._splits(reader, [*trained]).items():
            found[split][case] = trained[case]
        if self.test_labels:
            found["test"] = self._pairs(reader, "Ts")
        return found

    def patient_of(self, reader: FrameReader, case: str) -> str:
        """The patient of a picture's case."""
        patient = group_of(self.patient, case)
        if patient is None:
            reader.faults.add("case without a patient (see the field `patient`)", case)
        return patient or case

    def left_out(self) -> list[Split]:
        """The splits that may be without a case."""
        return [] if self.test_labels else ["test"]

    def _pairs(self, reader: FrameReader, part: str) -> dict[str, Case]:
        """Image and labels of each case of Tr or Ts."""
        images, labels = (
            volumes(reader, reader.root / names[part])
            if self.kind == "volumes"
            else pictures(reader, reader.root / names[part], PICTURES)
            for names in (IMAGES, LABELS)
        )
        ending = channel_of("", self.channel)
        of_case = {n.removesuffix(ending): p for n, p in images.items() if n.endswith(ending)}
        if images and not of_case:
            kind = f"folder without images that end in {ending} (see the field `channel`)"
            reader.faults.add(kind, IMAGES[part])
        if labels:
            alone = [path for case, path in of_case.items() if case not in labels]
            reader.faults.extend("image without labels", map(reader.short, alone))
        if of_case:
            alone = [path for case, path in labels.items() if case not in of_case]
            reader.faults.extend("labels without image", map(reader.short, alone))
        return {case: Case(path, labels[case]) for case, path in of_case.items() if case in labels}

    def _splits(self, reader: FrameReader, cases: list[str]) -> dict[str, Split]:
        """Train or val of each case of Tr; what a fold does not name is neither."""
        file = reader.root / FOLDS
        if not file.is_file():
            patients = {case: self.patient_of(reader, case) for case in cases}
            val = taken_for_val(patients.values(), self.val_from_train)
            return {c: "val" if patient in val else "train" for c, patient in patients.items()}
        folds: Any = _json(file)
        try:
            named: dict[str, Split] = {}
            for split in ("train", "val"):
                named |= dict.fromkeys(map(str, folds[self.fold][split]), split)
        except (KeyError, IndexError, TypeError):
            told = f"no train and val of fold {self.fold}"
            reader.faults.add("fold that is not there (see the field `fold`)", f"{FOLDS}: {told}")
            return {}
        kind = f"case of {FOLDS} that is not in {IMAGES['Tr']} and {LABELS['Tr']}"
        reader.faults.extend(kind, sorted(named.keys() - {*cases}))
        return {case: split for case, split in named.items() if case in cases}

    def _labels(self) -> Mapping[str, int]:
        """Every label by its name, without the background; `ignore` among them if it is there.

        Raises:
            DataError: there is none to read.
        """
        root = Path(self.root)
        layout = LAYOUT.format(root=root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder\n{layout}")
        file = root / ABOUT
        if not file.is_file():
            needed = (ABOUT, IMAGES["Tr"], LABELS["Tr"])
            absent = [name for name in needed if not (root / name).exists()]
            raise DataError(f"{root}: missing folder or file: {', '.join(absent)}\n{layout}")
        about = _json(file)
        told = about.get("labels") if isinstance(about, dict) else None
        if not isinstance(told, dict):
            raise DataError(f"{file}: it has no labels by name: it is none of nnU-Net's")
        if told and all(str(key).isdigit() for key in told):  # of its first version
            told = {str(name): int(label) for label, name in told.items()}
        faults = [
            f"label {name!r} = {value!r}: give a whole number from 1 to 255 (regions are not read)"
            for name, value in told.items()
            if name != BACKGROUND and not (type(value) is int and 0 < value < 256)
        ]
        own = {name: value for name, value in told.items() if name != BACKGROUND}
        organs = [name for name in own if name != IGNORE]
        if unknown := [name for name in self.classes or () if name not in organs]:
            faults.append(f"classes: no {', '.join(unknown)}: choose of {', '.join(organs)}")
        ending = str(about.get("file_ending", ".nii.gz"))
        if (self.kind == "pictures") != (ending in PICTURES):
            other = "pictures" if ending in PICTURES else "volumes"
            faults.append(f"its files end in {ending}: give kind={other!r}")
        if faults:
            raise DataError("\n".join([f"{file} cannot be used:", *faults]))
        return own


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Volumes(NiftiFolder):
    """Volumes of nnU-Net's, read as those of any folder."""

    layout: ClassVar[str] = LAYOUT

    raw: NnUnet

    def left_out(self) -> list[Split]:
        """Test, where it has no labels."""
        return self.raw.left_out()

    def cases(self, reader: FrameReader) -> Cases:
        """As nnU-Net divides them."""
        return self.raw.divided(reader)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Pictures(MaskConfig):
    """Pictures of nnU-Net's, read as those of any folder."""

    raw: NnUnet
    known: tuple[tuple[str, int], ...]
    """Every label, and that of pixels whose truth nobody knows."""

    def code(self) -> GreyMask:
        """The chosen labels; the others are background."""
        value = dict(self.known)
        unknown = value.pop(IGNORE, None)
        chosen = tuple(value) if self.raw.classes is None else self.raw.classes
        others = tuple((v, v) for name, v in value.items() if name not in chosen)
        return GreyMask(
            tuple((name, ((value[name], value[name]),)) for name in chosen),
            ((0, 0), *others),
            () if unknown is None else ((unknown, unknown),),
        )

    def scan(self) -> Scan:
        """Read and check every file."""
        root = Path(self.raw.root)
        reader = FrameReader(root, LAYOUT.format(root=root), mask_faults(self.code()))
        frames = {
            split: {
                case: Frame(self.raw.patient_of(reader, case), files.volume, files.labels)
                for case, files in cases.items()
            }
            for split, cases in self.raw.divided(reader).items()
        }
        note_empty(reader, frames, allowed=self.raw.left_out())
        return reader.read(frames)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise DataError(f"{file} is damaged: {error}") from error
