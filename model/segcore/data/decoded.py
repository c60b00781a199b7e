"""Decoded samples on a disk of this node, mapped into memory by all trainings that run on it.

A sample lies there under a hash of its files' names and bytes and of all that decoding them
follows, the code of this package, OpenCV and Pillow included, so that what is found is what would
be decoded. Files are renamed into place whole and checked when they are opened: several trainings
may write at once, and one that is killed spoils nothing. Whatever the disk does, a sample that is
not found is decoded.

They lie in a folder of the user's own, `segtune-decoded-<uid>`, within `$SEGTUNE_DECODED`, by
default within `$TMPDIR` or `/var/tmp`: `/tmp` often is memory. No file is
removed that has not the form of a sample. `SEGTUNE_DECODED=off` keeps decoded samples in each
training's memory alone.
"""

import hashlib
import json
import math
import mmap
import os
import re
import resource
import shutil
import stat
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from segcore.files import whole

Arrays = Mapping[str, NDArray[np.uint8]]
SMALLEST = 2**20
"""Bytes of a sample that is kept: smaller ones are decoded in a millisecond or two."""
MOST = 16 * 2**30
"""Bytes of all samples."""
FREE = 0.1
"""Share of the disk that is left free."""
UNUSED = 24 * 3600
"""Seconds after which a sample that nobody opened makes room for others."""
LOOK = 2**28
"""Bytes that a training writes between two looks at how much there is."""
FULL = 60.0
"""Seconds for which a look that found no room holds."""
HEADER = 512
_SAMPLE = re.compile(r"([0-9a-f]{2})/(\.[a-z0-9_]{8}/)?\1[0-9a-f]{62}\.sample")
_UNFINISHED = re.compile(r"[0-9a-f]{2}/\.[a-z0-9_]{8}")
"""The folder in which `whole` has a sample written."""


class Kept(NamedTuple):
    """What `put` was given. Who writes into the arrays writes into memory of its own."""

    arrays: Arrays
    about: Any
    is_mapped: bool
    """Whether the arrays are mapped from the disk, rather than read into memory."""


class DecodedSamples:
    """A folder of decoded samples."""

    def __init__(self, root: Path, most: int = MOST) -> None:
        """Nothing is made until there is something to keep.

        Args:
            root: the folder. What lies in it and is no sample is left alone.
            most: bytes that may lie in it.
        """
        self._root, self._most = root, most
        self._lock = threading.Lock()
        self._room = self._unlooked = 0
        self._full_until = -math.inf

    def get(self, key: str) -> Kept | None:
        """A sample; None where there is no such one, or a damaged one.

        Args:
            key: of the sample, 64 hexadecimal digits.
        """
        path = self._path(key)
        try:
            flat, is_mapped = _content(path)
        except (OSError, ValueError):  # none, or an empty file
            return None
        with suppress(OSError):
            os.utime(path)
        try:
            header = json.loads(bytes(flat[:HEADER]))
            if zlib.crc32(flat[HEADER:].data) == header["crc"]:
                return Kept(dict(_parts(flat, header["shapes"])), header["about"], is_mapped)
        except (ValueError, KeyError, TypeError):
            pass
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, arrays: Arrays, about: Any) -> None:
        """Keep a sample, if there is room.

        Args:
            key: of the sample, 64 hexadecimal digits.
            arrays: of the sample.
            about: what JSON holds, of a few numbers.
        """
        with self._lock:
            nbytes = _nbytes(arrays)
            if not self._finds_room(nbytes):
                return
            self._room -= nbytes
            self._unlooked += nbytes
        body = b"".join(np.ascontiguousarray(array).data for array in arrays.values())
        shapes = {name: array.shape for name, array in arrays.items()}
        header = json.dumps({"crc": zlib.crc32(body), "shapes": shapes, "about": about})
        with suppress(OSError), whole(self._path(key)) as file:  # a full disk, say
            file.write_bytes(header.encode().ljust(HEADER) + body)

    def has_room(self, arrays: Arrays) -> bool:
        """Whether there is room for a sample.

        Args:
            arrays: of the sample.
        """
        with self._lock:
            return self._finds_room(_nbytes(arrays))

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.sample"

    def _finds_room(self, nbytes: int) -> bool:
        if self._room >= nbytes and self._unlooked <= LOOK:
            return True
        if time.monotonic() < self._full_until:
            return False
        self._room, self._unlooked = self._look(), 0
        if self._room < nbytes:
            self._room, self._full_until = 0, time.monotonic() + FULL
        return self._room >= nbytes

    def _look(self) -> int:
        """The bytes that may still be written; what nobody used for long is removed for them."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return 0
        used, long_ago = 0, time.time() - UNUSED
        for entry in (*self._root.glob("??/*"), *self._root.glob("??/.*/*")):
            name = str(entry.relative_to(self._root))
            with suppress(OSError):  # another training has removed it
                found = entry.lstat()
                is_old = found.st_mtime < long_ago
                if _SAMPLE.fullmatch(name) and stat.S_ISREG(found.st_mode):
                    if is_old:
                        entry.unlink()
                    else:
                        used += found.st_size
                elif _UNFINISHED.fullmatch(name) and is_old:
                    entry.rmdir()  # refused where something is in it
        disk = shutil.disk_usage(self._root)
        return min(self._most - used, int(disk.free - FREE * disk.total))


def decoded_samples() -> DecodedSamples | None:
    """Those of this node; None where nobody wants them, where the folder is another's, and where
    the code that decodes has been edited since it was imported."""
    named = os.environ.get("SEGTUNE_DECODED") or os.environ.get("TMPDIR") or "/var/tmp"
    if named == "off" or is_edited():
        return None
    own = Path(named) / f"segtune-decoded-{os.getuid()}"
    # Anybody may make a folder among the temporary files, and what lies in this one is trusted.
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = own.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return DecodedSamples(own) if is_own else None


def code_hash() -> str:
    """Of what decodes: this package, and the libraries that it reads pictures with."""
    libraries = f"{cv2.__version__} {PIL.__version__} {features.version('jpg')}"
    digest = hashlib.sha256(libraries.encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


CODE = code_hash()
"""Of the code that decodes in this process: its files may be edited while it lives."""


def is_edited() -> bool:
    """Whether the files of the code are no longer those that this process has imported."""
    try:
        return code_hash() != CODE
    except OSError:  # one of them is removed just now
        return True


def _nbytes(arrays: Arrays) -> int:
    return HEADER + sum(array.nbytes for array in arrays.values())


def _content(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """A file's bytes, and whether they are mapped.

    Before Python 3.13 whatever is mapped holds a descriptor, of which a process often may have no
    more than 1024. It gets the lowest that is free: where a quarter of them is taken, by whatever
    it be, a file is read.
    """
    with path.open("rb") as file:
        if sys.version_info >= (3, 13):
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY, trackfd=False)
            return np.frombuffer(mapped, np.uint8), True
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(file.fileno())
        os.close(free)
        if most != resource.RLIM_INFINITY and free >= most // 4:
            return np.fromfile(file, np.uint8), False
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8), True


def _parts(flat: NDArray[np.uint8], shapes: Mapping[str, list[int]]) -> Iterator[Any]:
    start = HEADER
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        yield name, np.asarray(flat[start : start + size]).reshape(shape)
        start += size
