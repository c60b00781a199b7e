"""P2ILF's layout: landmarks as XML, a folder per patient."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import HEIGHT, WIDTH, p2ilf, p2ilf_xml

from segcore.data.dataset import SPLITS
from segcore.data.faults import DataError
from segcore.data.sets.l3d import CLASSES
from segcore.data.sets.p2ilf import P2ILF, parse


def write(root: Path, text: str, patient: str = "patient1") -> P2ILF:
    """The small folder with another file of landmarks for a patient's first image."""
    p2ilf(root)
    file = root / patient / "2D-3D_contours" / f"P2ILF22_{patient}_1.xml"
    file.write_text(text)
    return P2ILF(root=str(root), line_width=0.1)


def test_lines_are_drawn_where_they_are_and_patients_divided_by_name(tmp_path: Path) -> None:
    data = p2ilf(tmp_path).open()
    assert data.classes == CLASSES
    assert [len(data.ids(s)) for s in SPLITS] == [2, 4, 4]
    assert {s.patient_id for s in data.sources("val").values()} == {"patient8", "patient10"}
    sample = data.load("train", "P2ILF22_patient1_2", None)
    assert sample.labels_HW.shape == (HEIGHT, WIDTH)
    names = [CLASSES.names[k] for k in sample.labels_HW[[40, 8, 24, 16], 30]]
    assert names == ["ridge", "silhouette", "ligament", "background"]
    assert (sample.labels_HW[:, 30] > 0).sum() == 3 * 5  # 0.1 of 48 rows, odd


def test_files_are_read_as_the_organisers_and_others_write_them() -> None:
    """Whole numbers and others, several lines of a type, a contour of the model alone."""
    text = p2ilf_xml((("Ridge", "5, 6,7", "925, 924,924.5"), ("Ridge", "1.0", "2.0")))
    alone = "<contour><contourType>Ligament</contourType><modelPoints/></contour></contours>"
    empty = "<contour><contourType>Silhouette</contourType><imagePoints><x/><y/></imagePoints>"
    text = text.replace("</contours>", f"{empty}</contour>{alone}")
    lines = parse(text.encode())
    assert [line.label for line in lines] == ["ridge", "ridge"]
    np.testing.assert_array_equal(lines[0].points_N2, [[5, 925], [6, 924], [7, 924.5]])
    np.testing.assert_array_equal(lines[1].points_N2, [[1, 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<contours><contour>", "no XML"),
        ("<annotation/>", "its root is <annotation>, expected <contours>"),
        (p2ilf_xml((("Vessel", "1", "1"),)), "contourType 'Vessel': expected Ridge, Silhouette or"),
        (p2ilf_xml((("Ridge", "1, 2", "1"),)), "a Ridge has 2 x and 1 y"),
        (p2ilf_xml((("Ridge", "1, a", "1, 2"),)), "points of a Ridge are no numbers"),
        (p2ilf_xml((("Ridge", "1, nan", "1, 2"),)), "points of a Ridge are not all finite"),
    ],
)
def test_what_is_no_such_file_is_told_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s)landmarks: 1\n.*patient1_1.xml: {message}"):
        write(tmp_path, text).open()


def test_landmarks_of_another_size_are_a_fault(tmp_path: Path) -> None:
    write(tmp_path, p2ilf_xml((("Ridge", f"0, {WIDTH}", f"0, {HEIGHT}"),))).open()
    config = write(tmp_path, p2ilf_xml((("Ridge", "5, 1871", "925, 537"),)))
    told = "x 5 to 1871, y 537 to 925, image is 64x48"
    with pytest.raises(DataError, match=f"landmarks beyond the image: 1\n.*{told}"):
        config.open()


def test_an_image_without_landmarks_has_none(tmp_path: Path) -> None:
    data = write(tmp_path, p2ilf_xml(())).open()
    assert not data.load("train", "P2ILF22_patient1_1", (32, 32)).labels_HW.any()


def test_missing_files_and_patients_are_told(tmp_path: Path) -> None:
    p2ilf(tmp_path)
    (tmp_path / "patient1" / "images" / "P2ILF22_patient1_1.jpg").unlink()
    (tmp_path / "patient1" / "2D-3D_contours" / "P2ILF22_patient1_2.xml").unlink()
    with pytest.raises(DataError) as caught:
        P2ILF(root=str(tmp_path), test=("patient11",)).open()
    for told in ("image without mask: 1", "mask without image: 1", "val or test names: 1"):
        assert told in str(caught.value)
    with pytest.raises(ValueError, match="both name patient8"):
        P2ILF(root=str(tmp_path), test=("patient8",))


def test_two_images_of_one_name_are_a_fault(tmp_path: Path) -> None:
    p2ilf(tmp_path)
    shutil.copytree(tmp_path / "patient1", tmp_path / "patient2")
    with pytest.raises(DataError, match="two images of one name: 2"):
        P2ILF(root=str(tmp_path)).open()
