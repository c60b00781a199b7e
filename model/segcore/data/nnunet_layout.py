"""nnU-Net's raw layout (`documentation/dataset_format.md` there): the names, and writing it.

DatasetNNN_NAME/dataset.json          labels, channels, and the ending of all files
DatasetNNN_NAME/imagesTr/CASE_0000.*  of train and val; RGB in one picture, else a file a channel
DatasetNNN_NAME/labelsTr/CASE.*       labels from 0, the background
DatasetNNN_NAME/imagesTs, labelsTs    of test; nnU-Net itself looks at neither
splits_final.json                     which cases of Tr are train and which val, fold by fold;
                                      nnU-Net looks for it in $nnUNet_preprocessed/DatasetNNN_NAME
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcore.data.dataset import SPLITS, Dataset, Sample, Split
from segcore.data.faults import DataError, Faults
from segcore.data.loader import cases_of
from segcore.data.masks import IGNORE
from segcore.data.volumes.nifti import SUFFIXES, Volume
from segcore.files import whole

ABOUT, FOLDS = "dataset.json", "splits_final.json"
IMAGES = {"Tr": "imagesTr", "Ts": "imagesTs"}
LABELS = {"Tr": "labelsTr", "Ts": "labelsTs"}
PART: dict[Split, str] = {"train": "Tr", "val": "Tr", "test": "Ts"}
RGB = {"0": "R", "1": "G", "2": "B"}
VOLUMES, PICTURES = ".nii.gz", ".png"


@dataclass(frozen=True)
class Written:
    """What was written."""

    folder: Path
    cases: dict[Split, int]


def channel_of(case: str, number: int = 0) -> str:
    """The name of a case's image without its ending: `CASE_0000`."""
    return f"{case}_{number:04d}"


def write(dataset: Dataset, folder: Path, *, channel: str) -> Written:
    """Write a data set with its splits, to be trained on by nnU-Net.

    Volumes keep their values and geometry, pictures become PNG at their own size; both have labels
    of the classes from 1 in their order, and after them `ignore`, where nobody knows the truth.
    Depth maps are left out.

    Args:
        dataset: open.
        folder: to write; `DatasetNNN_NAME`, there is none of this name yet.
        channel: what a volume's values are: nnU-Net normalises `CT` in its own way.

    Raises:
        DataError: the folder is there, classes may overlap, a case is in two splits, some but not
            all images are of volumes, or volumes are no NIfTI; all of it.
    """
    cases = {split: cases_of(dataset, split) for split in SPLITS}
    sources = {split: dataset.sources(split) for split in SPLITS}
    of_volumes = {s.case_id is not None for split in SPLITS for s in sources[split].values()}
    _check(dataset, folder, cases, of_volumes)
    unknown = 1 + len(dataset.classes.foreground)
    some_unknown = False
    ending = VOLUMES if of_volumes == {True} else PICTURES
    with whole(folder) as place:
        for names in (IMAGES, LABELS):
            for name in names.values():
                (place / name).mkdir(parents=True)
        for split in SPLITS:
            for case, samples in cases[split].items():
                image = place / IMAGES[PART[split]] / (channel_of(case) + ending)
                label = place / LABELS[PART[split]] / (case + ending)
                if ending == VOLUMES:
                    some_unknown |= _write_volume(dataset, split, samples, image, label, unknown)
                else:
                    sample = dataset.load(split, case, None)
                    Image.fromarray(sample.image_HW3).save(image)
                    Image.fromarray(_labels(sample, unknown)).save(label)
                    some_unknown |= sample.ignore_HW is not None
        labels = {n: i for i, n in enumerate(("background", *dataset.classes.foreground))}
        if some_unknown:  # the highest, as nnU-Net wants it
            labels[IGNORE] = unknown
        about = {
            "channel_names": {"0": channel} if ending == VOLUMES else RGB,
            "labels": labels,
            "numTraining": len(cases["train"]) + len(cases["val"]),
            "file_ending": ending,
        }
        (place / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        folds = [{"train": [*cases["train"]], "val": [*cases["val"]]}]
        (place / FOLDS).write_text(json.dumps(folds, indent=2) + "\n")
    return Written(folder, {split: len(cases[split]) for split in SPLITS})


def _check(
    dataset: Dataset, folder: Path, cases: dict[Split, dict[str, list[str]]], of_volumes: set[bool]
) -> None:
    faults = Faults()
    if folder.exists():
        faults.add("there already: delete it, or give another number or name", str(folder))
    if not dataset.classes.exclusive and len(dataset.classes.names) > 1:
        faults.add("classes that may overlap, which one map of labels can't say", "")
    seen: dict[str, Split] = {}
    for split in SPLITS:
        for case in cases[split]:
            if seen.setdefault(case, split) != split:
                faults.add("case in two splits", f"{case}: {seen[case]}, {split}")
    if len(of_volumes) > 1:
        faults.add("pictures beside volumes", "choose one of them")
    elif of_volumes == {True}:
        files = {s.file for split in SPLITS for s in dataset.sources(split).values()}
        others = [f for f in files if f is None or not f.name.lower().endswith(SUFFIXES)]
        if others:
            faults.add("volumes that are no NIfTI", str(others[0]))
    if faults:
        raise DataError("\n".join(["nnU-Net's layout can't be written:", *faults.lines()]))


def _write_volume(
    dataset: Dataset, split: Split, samples: list[str], image: Path, label: Path, unknown: int
) -> bool:
    """A volume as it is, and its labels; slices that are no samples hold none. Whether there is a
    label of what nobody knows."""
    some_unknown = False
    sources = dataset.sources(split)
    file = sources[samples[0]].file
    assert file is not None, "checked"
    volume = Volume.open(file)
    labels_SHW = np.zeros(volume.shape, np.uint8)
    for sample_id in samples:
        sample = dataset.load(split, sample_id, None)
        labels_SHW[sources[sample_id].slice] = _labels(sample, unknown)
        some_unknown |= sample.ignore_HW is not None
    if file.name.lower().endswith(VOLUMES):
        shutil.copyfile(file, image)
    else:
        nib.save(volume.image, image)
    volume.save_labels(labels_SHW, label)
    return some_unknown


def _labels(sample: Sample, unknown: int) -> NDArray[np.uint8]:
    """Labels (H, W), with one for what nobody knows."""
    if sample.ignore_HW is None:
        return sample.labels_HW
    return np.where(sample.ignore_HW, np.uint8(unknown), sample.labels_HW)
