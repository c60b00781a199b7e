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
from typing import Any, TypeVar

from segcore.predict.outputs import Outputs
from segcore.predict.predictor import Predicted, Predictor
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
    seconds: dict[str, float] = field(default_factory=dict)
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
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


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
    work = Work(seconds={"decode": 0.0})
    before = dict(predictor.seconds)
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        _predict_images(predictor, images, outputs, batch_size, advance, work, pool)
        for video in videos:
            _predict_video(predictor, video, outputs, batch_size, advance, work, pool)
    work.wall = time.perf_counter() - start
    network = {k: s - before.get(k, 0.0) for k, s in predictor.seconds.items()}
    write = {"write": work.seconds.pop("write", 0.0)}
    work.seconds |= network | write
    return work


def _predict_images(
    predictor: Predictor,
    images: Sequence[ImageFile],
    outputs: Outputs,
    batch_size: int,
    advance: Callable[[int], None],
    work: Work,
    pool: ThreadPoolExecutor,
) -> None:
    def read(image: ImageFile) -> Frame:
        with work.spent("decode"):
            return image.read()

    def write(image: ImageFile, frame: Frame, predicted: Predicted) -> None:
        with work.spent("write"):
            outputs.write_image(image, frame, predicted)

    pending: deque[Future[None]] = deque()
    decoded = zip(images, _ahead(pool, read, images, AHEAD * batch_size), strict=True)
    for batch in _batches(decoded, batch_size):
        results = _predict(predictor, [frame for _, frame in batch])
        for (image, frame), predicted in zip(batch, results, strict=True):
            pending.append(pool.submit(write, image, frame, predicted))
        _settle(pending, AHEAD * batch_size)
        work.frames += len(batch)
        advance(len(batch))
    _settle(pending, 0)


def _predict_video(
    predictor: Predictor,
    video: VideoFile,
    outputs: Outputs,
    batch_size: int,
    advance: Callable[[int], None],
    work: Work,
    pool: ThreadPoolExecutor,
) -> None:
    frames = 0
    # One more thread writes, so that frames stay in their order however the pool draws them.
    with outputs.video(video) as written, ThreadPoolExecutor(1) as writer:

        def draw(frame: Frame, predicted: Predicted) -> Any:
            with work.spent("write"):
                return written.draw(frame, predicted)

        def add(drawn: Future[Any]) -> None:
            ready = drawn.result()
            with work.spent("write"):
                written.add(ready)

        pending: deque[Future[None]] = deque()
        for batch in _batches(_prefetch(video, work, AHEAD * batch_size), batch_size):
            results = _predict(predictor, batch)
            for frame, predicted in zip(batch, results, strict=True):
                pending.append(writer.submit(add, pool.submit(draw, frame, predicted)))
            _settle(pending, AHEAD * batch_size)
            frames += len(batch)
            advance(len(batch))
        _settle(pending, 0)
    work.frames += frames
    if frames < video.count:
        work.short.append(f"{video.path}: {frames} of {video.count} frames could be decoded")


def _predict(predictor: Predictor, frames: Sequence[Frame]) -> list[Predicted]:
    depths = [frame.depth_HW for frame in frames if frame.depth_HW is not None]
    return predictor([frame.image_HW3 for frame in frames], depths or None)


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
