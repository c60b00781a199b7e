"""`segtune predict`: files in, whole files out, every fault in one message."""

import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from support.untrained import save

from segcore.classes import ClassSpec
from segcore.predict import Predicted, Predictor, drawing
from segcore.predict.files import predict_files
from segcore.predict.outputs import KINDS, Outputs
from segcore.predict.sources import find_sources
from segcore.predict.video import VideoWriter
from segcore.predict.video import decoded as decoded_frames
from segcore.presets import nano
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segtune.cli import main

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
BITS = ClassSpec(("liver", "tool"), exclusive=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose head is random: it sees every class somewhere."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save(nano(), CLASSES, folder)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path


def picture(seed: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, channels), dtype=np.uint8)
    out = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return out.astype(np.uint8)


def frames(folder: Path, count: int, height: int = 90, width: int = 120) -> None:
    """Images in `folder/images` and depth maps in `folder/depth`."""
    for n in range(count):
        for kind, channels, suffix in (("images", 3, "jpg"), ("depth", 1, "png")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            path = folder / kind / f"frame{n}.{suffix}"
            cv2.imwrite(str(path), picture(n, height, width, channels))


def video(path: Path, count: int, height: int = 96, width: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for n in range(count):
        writer.write(np.roll(picture(1, height, width), 3 * n, axis=1))
    writer.release()


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    capture, out = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        out.append(read[1].astype(np.uint8))
    capture.release()
    return out


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_of_images(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames(here, 5)
    command = ["predict", str(checkpoint), "images", "--depth", "depth", "--batch-size", "2"]
    assert main([*command, "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "5 frames" in shown
    assert "frames/s" in shown
    for stage in ("decode", "preprocess", "network", "post", "write"):
        assert stage in shown
    suffixes = {"contours": "json"}
    of_each = {
        f"{kind}/frame{n}.{suffixes.get(kind, 'png')}"
        for kind in KINDS
        if kind not in ("maps", "coco")  # this network draws no maps
        for n in range(5)
    }
    assert {*files(here / "predictions")} == of_each | {"coco/instances_default.json"}
    predictor = Predictor.load(checkpoint, device="cpu")
    for n in range(5):
        image = cv2.imread(f"images/frame{n}.jpg", cv2.IMREAD_COLOR_RGB)
        depth = cv2.imread(f"depth/frame{n}.png", cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert depth is not None
        (wanted,) = predictor([image.astype(np.uint8)], [depth.astype(np.uint8)])
        mask = np.array(Image.open(f"predictions/masks/frame{n}.png"))
        assert (mask == wanted.labels_HW).mean() > 0.999  # batches round otherwise
        assert len(np.unique(mask)) > 1
        assert (np.array(Image.open(f"predictions/depth/frame{n}.png")) == depth).all()
        shapes = json.loads(Path(f"predictions/contours/frame{n}.json").read_text())
        assert {s["label"] for s in shapes["shapes"]} <= set(CLASSES.foreground)
        assert (shapes["imageHeight"], shapes["imageWidth"]) == (90, 120)
        place = here / "predictions" / "contours" / shapes["imagePath"]
        assert place.resolve() == (here / "images" / f"frame{n}.jpg").resolve()


def test_a_video(checkpoint: Path, here: Path) -> None:
    video(here / "scene.mp4", 7)
    video(here / "depth" / "scene.mp4", 7)
    command = ["predict", str(checkpoint), "scene.mp4", "--depth", "depth", "--batch-size", "3"]
    stale = here / "predictions" / "masks" / "scene"
    stale.mkdir(parents=True)
    (stale / "000099.png").touch()
    left = here / "predictions" / "masks" / ".scene"
    left.mkdir()
    assert main([*command, "--device", "cpu"]) == 0
    out = here / "predictions"
    names = [f"{n:06d}" for n in range(7)]
    assert files(out) == sorted(
        [f"contours/scene/{n}.json" for n in names]
        + [f"{kind}/scene/{n}.png" for n in names for kind in ("depth", "masks")]
        + ["overlays/scene.mp4", "coco/scene/instances_default.json"]
    )
    coco = json.loads((out / "coco" / "scene" / "instances_default.json").read_text())
    assert [i["file_name"] for i in coco["images"]] == [f"frame_{n}.png" for n in names]
    assert not list(out.rglob(".*"))
    overlays, originals = decoded(out / "overlays" / "scene.mp4"), decoded(here / "scene.mp4")
    assert len(overlays) == 7
    for n, (overlay, original) in enumerate(zip(overlays, originals, strict=True)):
        labels = np.array(Image.open(out / "masks" / "scene" / f"{n:06d}.png"))
        predicted = Predicted(labels, classes=CLASSES)
        wanted = drawing.overlay(original[..., ::-1], predicted, drawing.contours(predicted))
        off = np.abs(overlay.astype(int) - wanted[..., ::-1]).mean()
        assert off < np.abs(overlay.astype(int) - original).mean() / 2, "coding loses less"


def test_a_video_keeps_its_times_and_plays_in_browsers(checkpoint: Path, here: Path) -> None:
    """H.264 in 4:2:0 with even sides; frames at uneven times; a film that was held upright."""
    times = [Fraction(n, 90_000) for n in (900, 3_603, 12_000, 12_001, 99_999)]
    for path in (here / "scene.mkv", here / "depth" / "scene.mkv"):
        path.parent.mkdir(exist_ok=True)
        with av.open(str(path), "w", format="mp4") as film:
            stream = film.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 61, 95, "bgr0"
            stream.codec_context.time_base = Fraction(1, 90_000)
            stream.set_display_rotation(90)
            for n, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(n, 61, 95), format="rgb24")
                frame.pts, frame.time_base = int(time * 90_000), Fraction(1, 90_000)
                film.mux(stream.encode(frame))
            film.mux(stream.encode())
    read = list(decoded_frames(here / "scene.mkv"))
    assert [time for _, time in read] == times
    assert all((image == np.rot90(picture(n, 61, 95))).all() for n, (image, _) in enumerate(read))
    command = ["predict", str(checkpoint), "scene.mkv", "--depth", "depth", "--write", "overlays"]
    assert main([*command, "--device", "cpu"]) == 0
    written = here / "predictions" / "overlays" / "scene.mp4"
    with av.open(str(written)) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    content = written.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "plays before it is all there"
    again = list(decoded_frames(written))
    assert [time for _, time in again] == times
    assert all(image.shape == (96, 62, 3) for image, _ in again), "made even"


def test_colours_of_a_video_are_kept(tmp_path: Path) -> None:
    colours = np.array([[[200, 30, 40], [20, 180, 90]]], np.uint8)
    image_HW3 = colours.repeat(64, axis=0).repeat(48, axis=1)
    writer = VideoWriter(tmp_path / "flat.mp4", Fraction(25), Fraction(1, 25))
    writer.add(image_HW3, Fraction(0))
    writer.close()
    for seen in (
        decoded(tmp_path / "flat.mp4")[0][..., ::-1],
        next(decoded_frames(tmp_path / "flat.mp4"))[0],
    ):
        assert np.abs(seen[32, [10, 80]].astype(int) - colours[0]).max() <= 5


def test_every_fault_in_one_message(
    checkpoint: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames(here, 5)
    whole = (here / "images" / "frame0.jpg").read_bytes()
    (here / "images" / "frame0.jpg").write_bytes(whole[: len(whole) // 2])
    (here / "depth" / "frame1.png").write_text("no image")
    (here / "depth" / "frame2.png").unlink()
    cv2.imwrite(str(here / "depth" / "frame3.png"), picture(0, 90, 60, 1))
    (here / "depth" / "frame4.png").unlink()
    metres = np.ones((90, 120), np.float32)
    cv2.imwrite(str(here / "depth" / "frame4.tif"), metres)
    (here / "empty").mkdir()
    (here / "more").mkdir()
    (here / "more" / "frame1.png").write_bytes((here / "images" / "frame1.jpg").read_bytes())
    (here / "film.mp4").write_bytes(b"no film")
    video(here / "long.mp4", 5)
    video(here / "depth" / "long.mp4", 3)
    (here / "notes.txt").touch()
    before = files(here)
    paths = ["images", "empty", "more", "film.mp4", "long.mp4", "notes.txt", "absent.jpg"]
    assert main(["predict", str(checkpoint), *paths, "--depth", "depth"]) == 2
    message = capsys.readouterr().err
    for fault in (
        "unreadable image: 1\n    images/frame0.jpg",
        "unreadable depth map: 3\n    depth/frame1.png",
        "depth/frame4.tif: depth of float32: give 8 or 16 bits",
        "no depth map of the same name: 2\n    images/frame2.jpg\n    film.mp4",
        "depth map of another shape: 1\n    depth/frame3.png: 60x90 for 120x90",
        "folder without images or videos: 1\n    empty",
        "outputs would have one name: 1\n    images/frame1.jpg, more/frame1.png",
        "unreadable video: 1\n    film.mp4",
        "depth video that ends too soon: 1\n    depth/long.mp4: 3 frames for 5",
        "neither an image nor a video: 1\n    notes.txt",
        "no such file or folder: 1\n    absent.jpg",
    ):
        assert fault in message, fault
    assert files(here) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["images"], "give --depth FOLDER"),
        (["images", "--depth", "nowhere"], "no such folder of depth maps: 1\n    nowhere"),
        (["images", "--depth", "depth", "--batch-size", "0"], "give 1 or more"),
        (["images", "--depth", "depth", "--device", "abacus"], "no device 'abacus'"),
        (["images", "--depth", "depth", "--out", "taken"], "can't write to taken"),
        (["images", "--set", "system.rgb.checkpoint"], "write FIELD=PLACE"),
        (["images", "--set", "data.root=x"], "data.root is no place of weights"),
    ],
)
def test_what_cannot_be_is_said(
    checkpoint: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    frames(here, 1)
    (here / "taken").touch()
    before = files(here)
    assert main(["predict", str(checkpoint), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert files(here) == before


def test_depth_of_a_network_that_sees_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused where it was asked for; without a word where everything is written."""
    system = DualEncoderConfig(fusion=FusionConfig(mode="rgb_only"))
    save(dataclasses.replace(nano(), system=system), CLASSES, here / "rgb")
    frames(here, 1)
    before = files(here)
    command = ["predict", "rgb", "images", "--write", "masks", "depth"]
    assert main(command) == 2
    assert "looks at no depth maps" in capsys.readouterr().err
    assert files(here) == before
    assert main(["predict", "rgb", "images"]) == 0
    assert {p.name for p in (here / "predictions").iterdir()} == {
        *("masks", "overlays", "contours", "coco"),
    }


def test_a_checkpoint_that_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames(here, 1)
    assert main(["predict", "images", "images", "--depth", "depth"]) == 2
    assert f"no checkpoint in {here / 'images'}" in capsys.readouterr().err
    assert not (here / "predictions").exists()


def interrupt(after: int) -> Callable[[int], None]:
    """Ctrl-C once so many frames are done."""
    done = 0

    def advance(frames: int) -> None:
        nonlocal done
        done += frames
        if done >= after:
            raise KeyboardInterrupt

    return advance


def test_an_interruption_leaves_whole_files_alone(checkpoint: Path, here: Path) -> None:
    frames(here, 4)
    video(here / "scene.mp4", 6)
    video(here / "depth" / "scene.mp4", 6)
    images, videos = find_sources(
        [here / "images", here / "scene.mp4"], here / "depth", needs_depth=True
    )
    predictor = Predictor.load(checkpoint, device="cpu")
    outputs = Outputs(here / "out", KINDS)
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, images, videos, outputs, batch_size=1, advance=interrupt(8))
    coco = here / "out" / "coco" / "instances_default.json"
    written = [image["file_name"] for image in json.loads(coco.read_text())["images"]]
    assert written == [f"frame{n}.jpg" for n in range(4)]
    coco.unlink()
    assert {Path(name).stem for name in files(here / "out")} == {f"frame{n}" for n in range(4)}
    assert not list((here / "out").rglob(".*"))
    for mask in (here / "out" / "masks").iterdir():
        assert np.array(Image.open(mask)).shape == (90, 120)


def test_a_video_that_breaks_off_is_told(checkpoint: Path, here: Path) -> None:
    video(here / "scene.avi", 20)
    whole = (here / "scene.avi").read_bytes()
    (here / "scene.avi").write_bytes(whole[: len(whole) * 2 // 3])
    video(here / "depth" / "scene.avi", 20)
    command = ["predict", str(checkpoint), "scene.avi", "--depth", "depth", "--write", "masks"]
    assert main([*command, "--device", "cpu"]) == 1
    assert 0 < len(files(here / "predictions")) < 20


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))
)
def test_contours_give_the_masks_back(labels_HW: NDArray[np.uint8]) -> None:
    for classes in (CLASSES, BITS):
        predicted = Predicted(labels_HW, classes=classes)
        borders = drawing.contours(predicted)
        for name, mask_HW in classes.foreground_masks(labels_HW).items():
            again = np.zeros_like(labels_HW)
            own = [b.points_N2[:, None] for b in borders if b.label == name]
            cv2.drawContours(again, own, -1, 1, cv2.FILLED)
            assert (again == mask_HW).all()


@given(arrays(np.uint8, (5, 7), elements=st.integers(0, 3)))
def test_a_mask_file_holds_the_labels(labels_HW: NDArray[np.uint8]) -> None:
    import io

    for classes in (CLASSES, BITS):
        image = Image.open(io.BytesIO(drawing.mask_png(labels_HW, classes)))
        assert (np.array(image) == labels_HW).all()
        shown = np.array(image.convert("RGB"))
        assert (shown.any(axis=2) == (labels_HW > 0)).all()


def test_an_overlay_keeps_what_no_class_covers() -> None:
    image_HW3 = picture(0, 40, 50)
    labels_HW = np.zeros((40, 50), np.uint8)
    labels_HW[10:20, 10:20] = 2
    predicted = Predicted(labels_HW, classes=CLASSES)
    out = drawing.overlay(image_HW3, predicted, drawing.contours(predicted))
    assert (out[labels_HW == 0] == image_HW3[labels_HW == 0]).all()
    assert (out[labels_HW == 2] != image_HW3[labels_HW == 2]).any(axis=1).all()
    assert (image_HW3 == picture(0, 40, 50)).all()
