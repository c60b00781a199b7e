"""What is checked in image and depth files, and how depth is read."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segcore.data import pixels
from segcore.data.frames import Frame, FrameReader
from segcore.data.mask_folder import mask_faults
from segcore.data.masks import BinaryMask

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)


def told(root: Path, image: Path, label: Path, depth: Path) -> str:
    """The faults of one frame."""
    reader = FrameReader(root, "layout", mask_faults(BinaryMask("polyp")))
    scan = reader.read({"train": {"a": Frame("p", image, label, depth)}})
    return "\n".join(scan.faults.lines())


@pytest.fixture
def frame(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A sound image, mask and depth map."""
    paths = (tmp_path / "image.png", tmp_path / "mask.png", tmp_path / "depth.png")
    for path in paths:
        Image.fromarray(NOISE // 128 * np.uint8(255)).save(path)
    assert told(tmp_path, *paths) == ""
    return paths


@pytest.mark.parametrize(
    "depth",
    [
        RAMP.astype(np.float32),
        (600 * RAMP).astype(np.float32),
        (600 * RAMP).astype(np.int32),
        (600 * RAMP).astype(np.int16),
    ],
    ids=["share", "millimetres", "int32", "int16"],
)
def test_depth_that_would_wrap_is_refused(
    tmp_path: Path, frame: tuple[Path, Path, Path], depth: NDArray[Any]
) -> None:
    path = tmp_path / "wide.tif"
    cv2.imwrite(str(path), depth)
    with pytest.raises(OSError, match=rf"wide.tif: depth of {depth.dtype}: give 8 or 16 bits"):
        pixels.read_depth(path)
    expected = f"unreadable depth: 1\n    wide.tif: depth of {depth.dtype}: give 8 or 16 bits"
    assert expected in told(tmp_path, frame[0], frame[1], path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_8_bits_are_read_as_they_are(
    tmp_path: Path, frame: tuple[Path, Path, Path], suffix: str
) -> None:
    path = tmp_path / f"depth{suffix}"
    depth = (np.arange(64 * 64).reshape(64, 64) % 256).astype(np.uint8)
    cv2.imwrite(str(path), depth)
    np.testing.assert_array_equal(pixels.read_depth(path), depth)
    assert told(tmp_path, frame[0], frame[1], path) == ""


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_read_within_a_range_that_is_declared(
    tmp_path: Path, frame: tuple[Path, Path, Path], suffix: str
) -> None:
    """Millimetres from 60 to 180 would all be black of 65,536."""
    path = tmp_path / f"depth{suffix}"
    depth = np.tile(np.linspace(60, 180, 64).astype(np.uint16), (64, 1))
    cv2.imwrite(str(path), depth)
    read = pixels.read_depth(path, (60, 180))
    assert (int(read.min()), int(read.max())) == (0, 255)
    np.testing.assert_allclose(read, (depth - 60.0) / 120 * 255, atol=0.5)
    assert set(np.unique(pixels.read_depth(path, (100, 101)))) == {0, 255}
    missing = "depth of 16 bits, from 60 to 180: say which values are the nearest and the farthest"
    with pytest.raises(OSError, match=missing):
        pixels.read_depth(path)
    assert missing in told(tmp_path, frame[0], frame[1], path)
    with pytest.raises(ValueError, match="larger is farther, so the smaller is first"):
        pixels.check_range((180, 60))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".png", ".tif"])
def test_a_depth_map_that_ends_too_soon_is_a_fault(
    tmp_path: Path, frame: tuple[Path, Path, Path], suffix: str
) -> None:
    path = tmp_path / f"short{suffix}"
    Image.fromarray(NOISE).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "unreadable depth: 1\n    short" in told(tmp_path, frame[0], frame[1], path)


def test_a_picture_too_large_for_the_memory_is_a_fault(
    tmp_path: Path, frame: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 2 - 1)
    faults = told(tmp_path, *frame)
    for kind in ("image", "mask", "depth"):
        assert f"unreadable {kind}: 1\n    {kind}.png: Image size" in faults


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_no_damage_is_a_traceback(kind: str) -> None:
    rng = np.random.default_rng(1)
    sound = io.BytesIO()
    Image.fromarray(NOISE).save(sound, kind)
    refused = 0
    for _ in range(200):
        damaged = bytearray(sound.getvalue())
        for place in rng.integers(0, 200, 4):
            damaged[place] = rng.integers(256)
        try:
            pixels.check_depth(bytes(damaged))
        except OSError:
            refused += 1
    assert refused > 20
