"""What `predict` writes for CVAT, read back by COCO's own tools."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from segcore.classes import ClassSpec
from segcore.predict import Predicted
from segcore.predict.coco import FILE, dataset, instances_of
from segcore.predict.outputs import Outputs
from segcore.predict.sources import Frame, ImageFile

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
BITS = ClassSpec(("liver", "tool"), exclusive=False)


def predicted(labels_HW: NDArray[np.uint8], classes: ClassSpec) -> Predicted:
    return Predicted(labels_HW=labels_HW, maps={}, classes=classes)


def read_back(file: Path, classes: ClassSpec) -> dict[str, NDArray[np.uint8]]:
    """Image -> its labels, from nothing but the file."""
    coco = COCO(str(file))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(classes.foreground)
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        labels_HW = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            mask_HW = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == mask_HW.sum()
            y, x = np.nonzero(mask_HW)
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert annotation["bbox"] == box
            k = annotation["category_id"]
            labels_HW[mask_HW] |= np.uint8(k if classes.exclusive else 1 << (k - 1))
        found[image["file_name"]] = labels_HW
    return found


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 3))
)
@settings(max_examples=100, deadline=None)
def test_nothing_of_any_mask_is_lost(labels_HW: NDArray[np.uint8]) -> None:
    back_HW = np.zeros_like(labels_HW)
    for found in instances_of(predicted(labels_HW, CLASSES), "x.png").instances:
        encoded = coco_mask.frPyObjects(found["segmentation"], *labels_HW.shape)
        back_HW[coco_mask.decode(encoded).astype(bool)] = found["category_id"]
    np.testing.assert_array_equal(back_HW, labels_HW)


@pytest.mark.parametrize(("classes", "most"), [(CLASSES, 3), (BITS, 3)])
def test_masks_come_back_as_they_were(tmp_path: Path, classes: ClassSpec, most: int) -> None:
    rng = np.random.default_rng(0)
    rings_HW = np.zeros((20, 30), np.uint8)
    rings_HW[2:12, 3:17] = 2
    rings_HW[4:10, 6:14] = 0  # a hole
    rings_HW[6:8, 8:10] = 2  # an island in it
    rings_HW[19, 29] = most
    pictures = {
        "b.jpg": rings_HW,
        "a.png": rng.integers(0, most + 1, (17, 9), dtype=np.uint8),
        "empty.png": np.zeros((5, 4), np.uint8),
    }
    outputs = Outputs(tmp_path / "out", ["coco"])
    for name, labels_HW in pictures.items():
        image = ImageFile(Path(name).stem, Path("images", name), None)
        frame = Frame(image.name, np.zeros((*labels_HW.shape, 3), np.uint8), None)
        outputs.write_image(image, frame, predicted(labels_HW, classes))
    outputs.finish_images(classes)
    file = tmp_path / "out" / "coco" / FILE
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == [FILE]
    back = read_back(file, classes)
    assert list(back) == sorted(pictures)
    for name, labels_HW in pictures.items():
        np.testing.assert_array_equal(back[name], labels_HW)
    rings = [a for a in json.loads(file.read_text())["annotations"] if a["image_id"] == 2]
    assert len(rings) == (3 if classes.exclusive else 4), "the ring, its island, the corner"


def test_a_class_that_was_not_found_keeps_its_number() -> None:
    only_HW = np.full((2, 2), 3, np.uint8)
    whole = json.loads(dataset([instances_of(predicted(only_HW, CLASSES), "x.png")], CLASSES))
    assert [(c["id"], c["name"]) for c in whole["categories"]][2] == (3, "ligament")
    [found] = whole["annotations"]
    assert (found["category_id"], found["segmentation"]["counts"]) == (3, [0, 4])
