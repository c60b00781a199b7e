"""From files to files: decode ahead, predict in batches, write behind."""

import itertools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from segcore.predict.outputs import Drawn, Outputs
from segcore.predict.predictor import STAGES, Predicted, Predictor
from segcore.predict.sources import Frame, ImageFile, VideoFile

T = TypeVar("T")
AHEAD = 3
"""Batches that may be decoded, and that may wait to be written, at a time."""
THREADS = min(8, os.cpu_count() or 1)
"""Of decoding, and of writing: beyond this they wait for the network."""


@dataclass
class Work:
    """What was done and how long it took."""

    frames: int = 0
    wall: float = 0.0
    """Seconds from the first decoding to the last file."""
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("decode", *STAGES, "write"), 0.0)
    )
    """Spent in each stage, over all threads; stages overlap, so they may add up to more."""
    short: list[str] = field(default_factory=list)
    """Videos of which fewer frames could be decoded than they state."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def spent(self, stage: str) -> Iterator[None]:
        """Count the time inside to a stage; from any thread."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - start


def predict_files(
    predictor: Predictor,
    images: Sequence[ImageFile],
    videos: Sequence[VideoFile],
    outputs: Outputs,
    *,
    batch_size: int,
    advance: Callable[[int], None] = lambda frames: None,
) -> Work:
    """Predict images and videos and write what `outputs` wants of them.

    Args:
        predictor: the network.
        images: as `find_sources` found them.
        videos: alike.
        outputs: the folder. What is interrupted leaves whole files and nothing else.
        batch_size: images that go through the network at a time.
        advance: called with the number of frames that were predicted since the last call.
    """
    before = dict(predictor.seconds)
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        told = any(image.boxes is not None for image in images)
        run = _Run(predictor, outputs, batch_size, advance, pool, told)
        run.images(images)
        for video in videos:
            run.video(video)
    run.work.wall = time.perf_counter() - start
    for stage, seconds in predictor.seconds.items():
        run.work.seconds[stage] = seconds - before[stage]
    return run.work


@dataclass(frozen=True)
class _Run:
    """What images and videos share on their way."""

    predictor: Predictor
    outputs: Outputs
    batch_size: int
    advance: Callable[[int], None]
    pool: ThreadPoolExecutor
    told: bool
    """Whether any image has boxes: on one without there is nothing then."""
    work: Work = field(default_factory=Work)

    @property
    def most(self) -> int:
        """Frames that may be decoded and not yet predicted, or predicted and not yet written."""
        return AHEAD * self.batch_size

    def images(self, images: Sequence[ImageFile]) -> None:
        """Each image by itself: any thread reads it, any writes it."""

        def read(image: ImageFile) -> Frame:
            with self.work.spent("decode"):
                return image.read()

        def write(image: ImageFile, frame: Frame, predicted: Predicted) -> None:
            with self.work.spent("write"):
                self.outputs.write_image(image, frame, predicted)

        pending: deque[Future[None]] = deque()
        decoded = zip(images, _ahead(self.pool, read, images, self.most), strict=True)
        try:
            for batch in _batches(decoded, self.batch_size):
                results = self._predict([frame for _, frame in batch])
                for (image, frame), predicted in zip(batch, results, strict=True):
                    pending.append(self.pool.submit(write, image, frame, predicted))
                _settle(pending, self.most)
            _settle(pending, 0)
        finally:
            self.outputs.finish_images(self.predictor.classes)

    def video(self, video: VideoFile) -> None:
        """Frames in their order: one thread reads them, all draw them, one writes them."""

        def draw(frame: Frame, predicted: Predicted) -> Drawn:
            with self.work.spent("write"):
                return written.draw(frame, predicted)

        def add(drawn: Future[Drawn]) -> None:
            ready = drawn.result()
            with self.work.spent("write"):
                written.add(ready)

        before = self.work.frames
        pending: deque[Future[None]] = deque()
        with self.outputs.video(video) as written, ThreadPoolExecutor(1) as writer:
            for batch in _batches(_prefetch(video, self.work, self.most), self.batch_size):
                results = self._predict(batch)
                for frame, predicted in zip(batch, results, strict=True):
                    pending.append(writer.submit(add, self.pool.submit(draw, frame, predicted)))
                _settle(pending, self.most)
            _settle(pending, 0)
        if (frames := self.work.frames - before) < video.count:
            self.work.short.append(
                f"{video.path}: {frames} of {video.count} frames could be decoded"
            )

    def _predict(self, frames: Sequence[Frame]) -> list[Predicted]:
        depths = [frame.depth_HW for frame in frames if frame.depth_HW is not None]
        boxes = [frame.boxes for frame in frames] if self.told else None
        predicted = self.predictor([frame.image_HW3 for frame in frames], depths or None, boxes)
        self.work.frames += len(frames)
        self.advance(len(frames))
        return predicted


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _ahead(
    pool: ThreadPoolExecutor, do: Callable[[ImageFile], T], items: Iterable[ImageFile], most: int
) -> Iterator[T]:
    """Results in the items' order, at most so many of them at work or waiting."""
    running: deque[Future[T]] = deque()
    for item in items:
        running.append(pool.submit(do, item))
        if len(running) >= most:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _prefetch(video: VideoFile, work: Work, most: int) -> Iterator[Frame]:
    """The frames of a video, decoded by a thread of its own, at most so many of them waiting."""
    ready: queue.Queue[Frame | BaseException | None] = queue.Queue(most)
    stop = threading.Event()

    def decode() -> None:
        frames = video.frames()
        try:
            while not stop.is_set():
                with work.spent("decode"):
                    frame = next(frames, None)
                ready.put(frame)
                if frame is None:
                    return
        except Exception as error:  # told where the frames are awaited
            ready.put(error)

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        while thread.is_alive():  # it may wait for room
            try:
                ready.get_nowait()
            except queue.Empty:
                thread.join(0.01)


def _settle(pending: deque[Future[None]], most: int) -> None:
    """Wait until at most so many are pending; an error of theirs is raised here."""
    while len(pending) > most:
        pending.popleft().result()
