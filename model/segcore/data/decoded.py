"""Decoded samples on a disk of this node, mapped into memory by all trainings that run on it.

A sample lies there under a hash of its files' bytes and of all that decoding them follows, the code
of this package included, so that what is found is what would be decoded. Files are renamed into
place whole and checked when they are opened: several trainings may write at once, and one that is
killed spoils nothing. Whatever the disk does, a sample that is not found is decoded.

The folder is `$SEGTUNE_DECODED`, by default one of the user's own in the folder for temporary
files; `SEGTUNE_DECODED=off` keeps decoded samples in each training's memory alone.
"""

import functools
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
HEADER = 512


class DecodedSamples:
    """A folder of decoded samples."""

    def __init__(self, root: Path, most: int = MOST) -> None:
        """Nothing is made until there is something to keep.

        Args:
            root: the folder.
            most: bytes that may lie in it.
        """
        self._root, self._most = root, most
        self._lock = threading.Lock()
        self._room = self._unlooked = 0

    def get(self, key: str) -> tuple[Arrays, Any] | None:
        """What `put` was given, mapped: who writes into the arrays writes into memory of its own.
        None where there is no such sample, or a damaged one."""
        path = self._path(key)
        try:
            flat = np.memmap(path, np.uint8, mode="c")
        except (OSError, ValueError):  # none, or an empty file
            return None
        with suppress(OSError):
            os.utime(path)
        try:
            header = json.loads(bytes(flat[:HEADER]))
            if zlib.crc32(flat[HEADER:].data) == header["crc"]:
                return dict(_parts(flat, header["shapes"])), header["about"]
        except (ValueError, KeyError, TypeError):
            pass
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, arrays: Arrays, about: Any) -> None:
        """Keep a sample, if there is room.

        Args:
            key: of the sample.
            arrays: of the sample.
            about: what JSON holds, of a few numbers.
        """
        if not self._has_room(HEADER + sum(array.nbytes for array in arrays.values())):
            return
        body = b"".join(np.ascontiguousarray(array).data for array in arrays.values())
        shapes = {name: array.shape for name, array in arrays.items()}
        header = json.dumps({"crc": zlib.crc32(body), "shapes": shapes, "about": about})
        with suppress(OSError), whole(self._path(key)) as file:  # a full disk, say
            file.write_bytes(header.encode().ljust(HEADER) + body)

    def _path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key}.sample"

    def _has_room(self, nbytes: int) -> bool:
        with self._lock:
            if self._room < nbytes or self._unlooked > LOOK:
                self._room, self._unlooked = self._look(), 0
            if self._room < nbytes:
                return False
            self._room -= nbytes
            self._unlooked += nbytes
            return True

    def _look(self) -> int:
        """The bytes that may still be written; what nobody used for long is removed for them."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return 0
        used, long_ago = 0, time.time() - UNUSED
        for entry in sorted(self._root.glob("*/*")):  # what was begun by a killed one begins with .
            with suppress(OSError):  # another training has removed it
                found = entry.stat()
                if found.st_mtime >= long_ago:
                    used += found.st_size
                elif stat.S_ISDIR(found.st_mode):
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        disk = shutil.disk_usage(self._root)
        return min(self._most - used, int(disk.free - FREE * disk.total))


def decoded_samples() -> DecodedSamples | None:
    """Those of this node; None where nobody wants them, or the folder is another's."""
    named = os.environ.get("SEGTUNE_DECODED")
    if named:
        return None if named == "off" else DecodedSamples(Path(named))
    own = Path(tempfile.gettempdir()) / f"segtune-decoded-{os.getuid()}"
    # Anybody may make a folder among the temporary files, and what lies in this one is trusted.
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return DecodedSamples(own) if is_own else None


@functools.cache
def code_hash() -> str:
    """Of what decodes: this package, and the library that it reads pictures with."""
    digest = hashlib.sha256(cv2.__version__.encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _parts(flat: NDArray[np.uint8], shapes: Mapping[str, list[int]]) -> Iterator[Any]:
    start = HEADER
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        yield name, np.asarray(flat[start : start + size]).reshape(shape)
        start += size
