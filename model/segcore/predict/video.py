"""Videos by PyAV: frames with their time stamps in, H.264 that browsers play out.

Shape suffixes: H W a frame.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray

DEFAULT_RATE = Fraction(25)
"""Frames per second of a video that does not state its own."""
ENCODER: Final = "libx264"
QUALITY = {"crf": "20", "preset": "veryfast"}
"""Of x264: hard to tell from the original, and quicker than the network."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says of itself."""

    count: int
    """Frames; it may be wrong."""
    rate: Fraction
    """Frames per second, on average."""
    time_base: Fraction
    """Seconds in which its time stamps are counted."""
    width: int
    """Pixels, as it is shown; 0 where no frame can be decoded."""
    height: int


def facts(path: Path) -> VideoFacts:
    """Open a video and decode its first frame."""
    with closing(decoded(path)) as frames:
        first = next(frames, None)
    if first is None:
        return VideoFacts(0, DEFAULT_RATE, 1 / DEFAULT_RATE, 0, 0)
    height, width = first[0].shape[:2]
    with av.open(_place(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base or 1 / DEFAULT_RATE
        rate = stream.average_rate or DEFAULT_RATE
        seconds = Fraction(0)
        if stream.duration is not None:
            seconds = stream.duration * time_base
        elif container.duration is not None:  # of Matroska and WebM
            seconds = Fraction(container.duration, av.time_base)
        return VideoFacts(stream.frames or round(seconds * rate), rate, time_base, width, height)


def decoded(path: Path) -> Generator[tuple[NDArray[np.uint8], Fraction]]:
    """The frames that can be decoded, RGB (H, W, 3), turned as they are shown.

    Yields:
        A frame, and its time stamp in seconds. Where it has none, it is shown one frame's time
        after the one before it.
    """
    try:
        container = av.open(_place(path))
    except (FFmpegError, OSError):
        return
    with container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1 / (stream.average_rate or DEFAULT_RATE)
        time = -step
        for frame in _frames(container, stream):
            if frame.pts is None or frame.time_base is None:
                time += step
            else:
                time = frame.pts * frame.time_base
            image_HW3 = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            yield np.ascontiguousarray(np.rot90(image_HW3, frame.rotation // 90)), time


def _place(path: Path) -> str:
    """A name that FFmpeg takes for a file's, whatever stands before a colon."""
    return f"file:{path}"


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """What can be decoded of a stream: a damaged packet is passed over."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file breaks off: what the decoder still holds is the last
            yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        yield from (frame for frame in frames if isinstance(frame, VideoFrame))


class VideoWriter:
    """An MP4 of H.264 in 4:2:0, which every browser plays, with the time stamps that it is given.

    That form has even sides alone: an odd one is made even by showing its last line twice.
    """

    def __init__(self, path: Path, rate: Fraction, time_base: Fraction) -> None:
        """Open the file, whose folder is there.

        Args:
            path: ends in `.mp4`.
            rate: frames per second, on average.
            time_base: seconds in which time stamps are counted.

        Raises:
            OSError: it can't be written.
        """
        # The table of contents goes first, so that a browser begins before it has the whole file.
        self._container = av.open(_place(path), "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream(ENCODER, rate=rate, options=dict(QUALITY))
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = time_base
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._time_base = time_base
        self._duration = max(1, round(1 / (rate * time_base)))
        self._last: int | None = None

    def add(self, image_HW3: NDArray[np.uint8], time: Fraction) -> None:
        """Encode the next frame, RGB, to be shown at a time in seconds.

        Times only go forwards: one that does not is moved to the next tick.
        """
        height, width = image_HW3.shape[:2]
        even_HW3 = np.pad(image_HW3, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._last is None:
            self._stream.height, self._stream.width = even_HW3.shape[:2]
        frame = VideoFrame.from_ndarray(even_HW3, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        pts = round(time / self._time_base)
        frame.pts = pts if self._last is None else max(pts, self._last + 1)
        frame.time_base, frame.duration = self._time_base, self._duration
        self._last = frame.pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still held back, and the end of the file."""
        with self._container:
            if self._last is not None:
                self._container.mux(self._stream.encode())
