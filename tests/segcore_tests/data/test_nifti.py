"""Volumes: wherever a file stores its voxels, a slice is the same picture."""

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.volumes import SPACING_MM, discs, save_volume

from segcore.data.volumes.labels import held_labels, read_labels
from segcore.data.volumes.nifti import Volume, stem_of, unpacked
from segcore.files import cache_folder

SIDES = itertools.permutations(("LR", "AP", "SI"))
ORDERS = ["".join(axes) for sides in SIDES for axes in itertools.product(*sides)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))


def test_there_are_all_orders_of_axes() -> None:
    assert len(set(ORDERS)) == 48


@pytest.mark.parametrize("stored", ORDERS)
def test_slices_lie_alike_however_they_are_stored(stored: str, tmp_path: Path) -> None:
    slices = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(np.int16)
    path = tmp_path / "volume.nii.gz"
    save_volume(path, slices, stored=stored)
    assert nib.aff2axcodes(nib.nifti1.load(path).affine) == tuple(stored)
    volume = Volume.open(path)
    assert volume.shape == (4, 5, 6)
    np.testing.assert_allclose(volume.spacing_mm, SPACING_MM)
    for index in range(4):
        np.testing.assert_array_equal(volume.plane(index), slices[index])


@pytest.mark.parametrize("stored", ["RAS", "PIR", "SLA"])
def test_saved_labels_lie_on_their_volume_for_other_tools(stored: str, tmp_path: Path) -> None:
    labels = discs((1, 2))
    save_volume(tmp_path / "volume.nii", labels, stored=stored, origin_mm=(10, -20, 30))
    volume = Volume.open(tmp_path / "volume.nii")
    volume.save_labels(labels, tmp_path / "labels.nii.gz")
    before, after = (nib.nifti1.load(tmp_path / f) for f in ("volume.nii", "labels.nii.gz"))
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
    np.testing.assert_allclose(after.affine, before.affine)
    assert Volume.open(tmp_path / "labels.nii.gz").mismatch(volume) is None


def test_slices_agree_with_nibabels_canonical_order(tmp_path: Path) -> None:
    """Of an affine that is turned by a few degrees and not along the axes."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(np.eye(3) + rng.normal(0, 0.08, (3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * (1.1, -2.2, 3.3)
    image = nib.nifti1.Nifti1Image(rng.integers(0, 99, (6, 5, 4)).astype(np.int16), affine)
    image.to_filename(tmp_path / "turned.nii")
    canonical = np.asarray(nib.as_closest_canonical(image).dataobj)
    volume = Volume.open(tmp_path / "turned.nii")
    for index in range(volume.shape[0]):
        np.testing.assert_array_equal(volume.plane(index), canonical[::-1, ::-1, index].T)


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(0.5, 3), offset=st.floats(-1024, 0))
def test_scaled_units_are_read_as_they_are_meant(
    scale: float, offset: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("scaled") / "scaled.nii"
    image = nib.nifti1.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(scale, offset)
    image.to_filename(path)
    planes = np.stack([Volume.open(path).plane(i) for i in range(5)])
    stored = np.arange(60).reshape(3, 4, 5)[::-1, ::-1].transpose(2, 1, 0)
    np.testing.assert_allclose(planes, stored * scale + offset, rtol=1e-4, atol=1e-2)


def test_a_compressed_file_is_unpacked_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    save_volume(path, discs((1,)))
    first = unpacked(path)
    assert first.parent == cache_folder() / "volumes"
    written = first.stat().st_mtime_ns
    assert unpacked(path) == first
    assert first.stat().st_mtime_ns == written
    save_volume(path, discs((1, 2)))
    assert unpacked(path) != first
    assert Volume.open(path).plane(2).max() == 2


def test_what_is_damaged_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    save_volume(path, np.random.default_rng(0).integers(0, 99, (4, 32, 32)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match="damaged gzip file"):
        Volume.open(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(OSError, match="gzip"):
        Volume.open(path)
    assert not list((cache_folder() / "volumes").iterdir())
    plain = tmp_path / "plain.nii"
    plain.write_bytes(gzip.decompress(content)[:2000])
    with pytest.raises(OSError, match="ends after 2,000 of 8,544 bytes"):
        Volume.open(plain)
    plain.write_bytes(b"x" * 1000)
    with pytest.raises(OSError, match="no NIfTI file that can be read"):
        Volume.open(plain)


def test_series_and_lost_affines_are_refused(tmp_path: Path) -> None:
    series = nib.nifti1.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4))
    series.to_filename(tmp_path / "series.nii")
    with pytest.raises(OSError, match="3x4x5x2: give volumes of three dimensions"):
        Volume.open(tmp_path / "series.nii")
    flat = nib.nifti1.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    flat.header["srow_y"] = 0
    flat.header["sform_code"] = 1
    flat.to_filename(tmp_path / "flat.nii")
    with pytest.raises(OSError, match="affine"):
        Volume.open(tmp_path / "flat.nii")


def test_labels_that_are_none(tmp_path: Path) -> None:
    odd = discs((1,)).astype(np.float32)
    odd[2, 3, 3] = 0.5
    save_volume(tmp_path / "labels.nii", odd)
    volume = Volume.open(tmp_path / "labels.nii")
    assert read_labels(volume, 1).dtype == np.uint8
    with pytest.raises(ValueError, match=r"0\.5 is no label"):
        held_labels(volume)
    save_volume(tmp_path / "labels.nii", discs((1,)).astype(np.int16) * 300)
    with pytest.raises(ValueError, match="300 is no label"):
        held_labels(Volume.open(tmp_path / "labels.nii"))


def test_what_slices_hold_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "labels.nii.gz"
    save_volume(path, discs((3, 5)), stored="RAI")
    held = held_labels(Volume.open(path))
    assert held == (frozenset({0}), *[frozenset({0, 3, 5})] * 3)
    unpacked(path).write_bytes(b"")  # only what was kept can answer now
    kept = Volume(path, nib.nifti1.Nifti1Image(np.zeros((1, 1, 1)), np.eye(4)))
    assert held_labels(kept) == held


def test_a_name_without_its_suffix() -> None:
    names = ("img0001.nii.gz", "a.b.nii", "amos_0004.nii.gz")
    assert [stem_of(Path(n)) for n in names] == ["img0001", "a.b", "amos_0004"]


def test_voxels_must_be_one_real_number_each(tmp_path: Path) -> None:
    colours = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.nifti1.Nifti1Image(colours, np.eye(4)).to_filename(tmp_path / "rgb.nii")
    waves = np.zeros((3, 4, 5), np.complex64)
    nib.nifti1.Nifti1Image(waves, np.eye(4)).to_filename(tmp_path / "complex.nii")
    for name in ("rgb", "complex"):
        with pytest.raises(OSError, match="give one real number each"):
            Volume.open(tmp_path / f"{name}.nii")


def test_second_version_and_capitals_are_read(tmp_path: Path) -> None:
    slices = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nib.nifti2.Nifti2Image(slices, np.eye(4)).to_filename(tmp_path / "two.nii")
    assert Volume.open(tmp_path / "two.nii").shape == (5, 4, 3)
    save_volume(tmp_path / "a.nii.gz", discs((1,)))
    (tmp_path / "a.nii.gz").rename(tmp_path / "B.NII.GZ")
    assert stem_of(tmp_path / "B.NII.GZ") == "B"
    assert Volume.open(tmp_path / "B.NII.GZ").shape == discs((1,)).shape


def test_labels_keep_the_scans_units_and_both_of_its_affines(tmp_path: Path) -> None:
    image = nib.nifti1.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.diag([2, 2, 3, 1]))
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_slope_inter(2, -1)
    image.to_filename(tmp_path / "scan.nii")
    volume = Volume.open(tmp_path / "scan.nii")
    volume.save_labels(np.ones(volume.shape, np.uint8), tmp_path / "labels.nii")
    saved = nib.nifti1.load(tmp_path / "labels.nii")
    assert saved.header.get_xyzt_units()[0] == "mm"
    assert (int(saved.header["qform_code"]), int(saved.header["sform_code"])) == (1, 1)
    assert saved.get_data_dtype() == np.uint8
    assert (np.asarray(saved.dataobj) == 1).all()
