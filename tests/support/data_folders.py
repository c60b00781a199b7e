"""Small folders in the exact layout of every data set, for tests that read them."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from support.volumes import discs, save_volume, units_of

from segcore.data import DATASETS
from segcore.data.dataset import DataConfig
from segcore.data.sets.amos import AMOS
from segcore.data.sets.amos import ORGANS as AMOS_ORGANS
from segcore.data.sets.bcv import BCV
from segcore.data.sets.bcv import ORGANS as BCV_ORGANS
from segcore.data.sets.bcv_transunet import BCVTransUNet
from segcore.data.sets.cvc_clinicdb import LAST_FRAMES, CVCClinicDB
from segcore.data.sets.folder import Folder
from segcore.data.sets.kvasir_sessile import KvasirSessile
from segcore.data.sets.l3d import L3D
from segcore.data.sets.l3d_2k import L3D2K
from segcore.data.sets.llsd import LLSD
from segcore.data.sets.nifti_folder import NiftiFolder
from segcore.data.sets.nnunet import NnUnet
from segcore.data.sets.p2ilf import P2ILF
from segcore.data.sets.synthetic_aerial import SyntheticAerial
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.data.sets.synthetic_organs import SyntheticOrgans
from segcore.data.sets.synthetic_polyps import SyntheticPolyps

HEIGHT, WIDTH = 48, 64


def picture(path: Path, number: int) -> None:
    """A photograph that is different for every number."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def disc(number: int) -> NDArray[np.bool_]:
    """A mask whose place depends on the number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside: NDArray[np.bool_] = np.hypot(x - 20 - number % 20, y - 24) < 12
    return inside


def save(path: Path, values: NDArray[np.uint8]) -> None:
    """A picture of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def stripes(colours: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """A colour mask with a band of 8 rows in each colour, on black."""
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for n, colour in enumerate(colours):
        mask[4 + 12 * n : 12 + 12 * n] = colour
    return mask


def write_landmarks(root: Path, splits: tuple[str, ...], depth: str) -> None:
    """Frames with polylines and depth maps, two in each folder of a split."""
    shapes = [
        {"label": label, "points": [[4, y], [60, y]]}
        for label, y in (("ridge", 40), ("silhouette", 8), ("ligament", 24))
    ]
    for n, split in enumerate(splits):
        for frame in range(2):
            stem = f"{n}_{frame:04d}"
            picture(root / split / "images" / f"{stem}.jpg", 10 * n + frame)
            ramp = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
            save(root / split / depth / f"{stem}.png", ramp.astype(np.uint8))
            label = {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH}
            (root / split / "labels").mkdir(exist_ok=True)
            (root / split / "labels" / f"{stem}.json").write_text(json.dumps(label))


def synthetic_polyps(root: Path) -> DataConfig:
    config = SyntheticPolyps(train=5, val=5, test=5, size=64, root=str(root / "scenes"))
    config.open()
    return config


def synthetic_aerial(root: Path) -> DataConfig:
    config = SyntheticAerial(train=5, val=5, test=5, size=64, root=str(root / "scenes"))
    config.open()
    return config


def synthetic_liver(root: Path) -> DataConfig:
    config = SyntheticLiver(train=5, val=5, test=5, size=64, root=str(root / "scenes"))
    config.open()
    return config


def l3d(root: Path) -> DataConfig:
    write_landmarks(root, ("Train", "Val", "Test"), "depth_AdelaiDepth")
    return L3D(root=str(root), line_width=0.1)


def l3d_2k(root: Path) -> DataConfig:
    write_landmarks(root, ("train", "val", "test"), "depth")
    return L3D2K(root=str(root), line_width=0.1)


def llsd(root: Path) -> DataConfig:
    for patient in range(1, 5):
        folder = root / f"patient{patient}"
        for frame in range(2):
            picture(folder / "images" / f"f{frame}.png", 10 * patient + frame)
            drawn = stripes(((20, 30, 230), (250, 245, 240), (220, 25, 30)))
            drawn[5:11, 32:] = (15, 200, 20)  # green is ridge too
            save(folder / "masks_original" / f"f{frame}.png", drawn)
            converted = stripes(((255, 0, 0), (0, 255, 0), (0, 0, 255)))
            save(folder / "masks_gt" / f"f{frame}_convert.png", converted)
    return LLSD(root=str(root))


def p2ilf(root: Path) -> DataConfig:
    for patient in ("patient1", "patient3", "patient5", "patient8", "patient10"):
        for n in (1, 2):
            stem = f"P2ILF22_{patient}_{n}"
            image = root / patient / "images" / f"{stem}.jpg"
            picture(image, 10 * int(patient.removeprefix("patient")) + n)
            contours = root / patient / "2D-3D_contours"
            contours.mkdir(exist_ok=True)
            (contours / f"{stem}.xml").write_text(p2ilf_xml())
    return P2ILF(root=str(root), line_width=0.1)


def p2ilf_xml(
    lines: tuple[tuple[str, str, str], ...] = (
        ("Ridge", "4, 60", "40, 40"),
        ("Silhouette", "4.0, 5.0, 60.0", "8.0, 8.0, 8.0"),
        ("Ligament", "4, 60", "24, 24"),
    ),
) -> str:
    """A file of P2ILF's landmarks: type, x and y of each."""
    contours = "".join(
        f"""
\t<contour>
\t\t<contourType>{kind}</contourType>
\t\t<imagePoints>
\t\t\t<numOfPoints>{len(x.split(","))}</numOfPoints>
\t\t\t<x>{x}</x>
\t\t\t<y>{y}</y>
\t\t</imagePoints>
\t\t<modelPoints>
\t\t\t<numOfPoints>2</numOfPoints>
\t\t\t<vertices>1227,1544</vertices>
\t\t</modelPoints>
\t</contour>"""
        for kind, x, y in lines
    )
    head = "<?xml version='1.0' encoding='utf-8'?>"
    return (
        f"{head}\n<contours>\n\t<numOfContours>{len(lines)}</numOfContours>{contours}\n</contours>"
    )


def kvasir_sessile(root: Path) -> DataConfig:
    for n in range(20):
        stem = f"cju0{n:04d}s8v0801p0z"
        picture(root / "images" / f"{stem}.jpg", n)
        save(root / "masks" / f"{stem}.jpg", np.repeat(disc(n)[..., None] * np.uint8(255), 3, 2))
    return KvasirSessile(root=str(root))


def cvc_clinicdb(root: Path) -> DataConfig:
    for number in [*LAST_FRAMES, 1, 30]:
        picture(root / "Original" / f"{number}.tif", number)
        save(root / "Ground Truth" / f"{number}.tif", disc(number) * np.uint8(255))
    return CVCClinicDB(root=str(root))


def folder(root: Path) -> DataConfig:
    for n in range(12):
        picture(root / "rgb" / f"case{n // 2}-{n}.png", n)
        mask = disc(n).astype(np.uint8)
        mask[:6] = 3
        mask[42:] = 7
        save(root / "index" / f"case{n // 2}-{n}_mask.png", mask)
        save(root / "depth" / f"case{n // 2}-{n}.png", disc(n) * np.uint8(200))
    return Folder(
        root=str(root),
        images="rgb",
        masks="index",
        depth="depth",
        mask_suffix="_mask",
        patient="(case[0-9]+)-.*",
        classes=("liver=1", "vessel=3|7"),
        fractions=(0.5, 0.25, 0.25),
    )


def bcv(root: Path) -> DataConfig:
    for n in range(6):
        labels = discs(tuple(BCV_ORGANS.values()), size=52)
        save_volume(root / "img" / f"img{n:04d}.nii.gz", units_of(labels, n))
        save_volume(root / "label" / f"label{n:04d}.nii.gz", labels)
    return BCV(root=str(root))


def bcv_transunet(root: Path) -> DataConfig:
    for folder in ("train_npz", "test_vol_h5"):
        (root / folder).mkdir(parents=True)
    labels = discs(tuple(range(1, 9)), size=48)
    for case in (5, 6, 7, 9, 10, 21):
        image = (units_of(labels, case).astype(np.float32) + 125) / 400
        for index in range(len(labels)):
            path = root / "train_npz" / f"case{case:04d}_slice{index:03d}.npz"
            np.savez(path, image=image[index], label=labels[index].astype(np.float32))
    with h5py.File(root / "test_vol_h5" / "case0001.npy.h5", "w") as file:
        file["image"], file["label"] = image, labels
    return BCVTransUNet(root=str(root), val_from_train=0.5)


def amos(root: Path) -> DataConfig:
    for part, numbers in (("Tr", range(1, 6)), ("Va", range(6, 8))):
        for n in numbers:
            labels = discs(tuple(AMOS_ORGANS.values()), size=60)
            save_volume(root / f"images{part}" / f"amos_{n:04d}.nii.gz", units_of(labels, n))
            save_volume(root / f"labels{part}" / f"amos_{n:04d}.nii.gz", labels)
    return AMOS(root=str(root))


def nifti_folder(root: Path) -> DataConfig:
    for n in range(6):
        labels = discs((1, 9))
        save_volume(root / "volumes" / f"p{n}.nii", units_of(labels, n))
        save_volume(root / "labels" / f"p{n}.nii.gz", labels)
    return NiftiFolder(root=str(root), classes=("liver=1", "tumour=9"))


def nnunet(root: Path) -> DataConfig:
    for n in range(8):
        labels = discs((1, 2))
        part = "Tr" if n < 6 else "Ts"
        save_volume(root / f"images{part}" / f"p{n}_0000.nii.gz", units_of(labels, n))
        save_volume(root / f"labels{part}" / f"p{n}.nii.gz", labels)
    about = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(about))
    folds = [{"train": ["p0", "p1", "p2", "p3"], "val": ["p4", "p5"]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    return NnUnet(root=str(root))


def synthetic_organs(root: Path) -> DataConfig:
    config = SyntheticOrgans(
        train=8,
        val=4,
        test=4,
        images_per_patient=4,
        size=64,
        organs=("liver", "spleen"),
        root=str(root / "scenes"),
    )
    config.open()
    return config


def halves(name: str) -> Callable[[Path], DataConfig]:
    """Writes a set of salient objects in its first layout."""
    stem = {"camo": "camourflage_{:05d}", "cod10k": "COD10K-CAM-1-Aquatic-{}"}.get(name, "{:04d}")

    def write(root: Path) -> DataConfig:
        images, masks, *tested = DATASETS[name].load().known[0]
        for n in range(20):
            folders = (images, masks) if n < 16 else tested
            picture(root / folders[0] / f"{stem.format(n)}.jpg", n)
            save(root / folders[1] / f"{stem.format(n)}.png", disc(n) * np.uint8(255))
        return DataConfig.named(name, root=str(root), val_from_train=0.3)

    return write


WRITERS: dict[str, Callable[[Path], DataConfig]] = {
    f.__name__: f
    for f in (
        synthetic_liver,
        synthetic_aerial,
        synthetic_polyps,
        l3d,
        l3d_2k,
        llsd,
        p2ilf,
        kvasir_sessile,
        cvc_clinicdb,
        folder,
        bcv,
        bcv_transunet,
        amos,
        nifti_folder,
        nnunet,
        synthetic_organs,
    )
} | {name: halves(name) for name in ("orssd", "eorssd", "orsi_4199", "camo", "cod10k")}
"""Writes a small folder of each data set below a folder that is given, and says how to read it."""
