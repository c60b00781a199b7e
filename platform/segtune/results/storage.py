"""Where studies are kept: a folder of a file system, or a folder of an S3 object store.

All that a study writes goes through `Place`, so that tables and checkpoints need not know which of
the two it is. Credentials, region and endpoint of a store are taken from the environment of each
process, as AWS's own tools take them, and are never handed from one to another.
"""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

S3 = "s3://"


@dataclass(frozen=True)
class Place:
    """A file or folder of a storage. It need not exist."""

    root: str
    """The storage: an absolute path, or `s3://BUCKET/FOLDER`."""
    inside: tuple[str, ...] = ()
    """Names of the folders and the file below it."""

    @classmethod
    def of(cls, storage: "Storage") -> "Place":
        """A storage as a person names it: a path, `~` included, or a URI.

        Raises:
            ValueError: a URI of another kind of store, or without a bucket.
        """
        if isinstance(storage, Place):
            return storage
        text = str(storage)
        if re.fullmatch(r"s3://[^/?#]+[^#]*", text):
            return cls(text.rstrip("/"))
        if "://" in text or text.startswith("s3:/"):  # as pathlib writes one
            raise ValueError(
                f"results can't be kept under {text}: give a folder, or s3://BUCKET/FOLDER"
            )
        return cls(str(Path(os.path.expanduser(text)).absolute()))

    def __truediv__(self, name: str) -> "Place":
        return Place(self.root, (*self.inside, name))

    def __str__(self) -> str:
        if (path := self.local) is not None:
            return str(path)
        base, question, options = self.root.partition("?")
        return "/".join((base.rstrip("/"), *self.inside)) + question + options

    @property
    def name(self) -> str:
        """Last part of the path: the name of the file or folder itself."""
        return self.inside[-1]

    @property
    def local(self) -> Path | None:
        """Its path on a file system; None in an object store."""
        return None if self.root.startswith(S3) else Path(self.root, *self.inside)

    @property
    def filesystem(self) -> FileSystem:
        """The pyarrow file system on which `path` lies."""
        return _opened(self.root)[0]

    @property
    def path(self) -> str:
        """Its path on `filesystem`."""
        return "/".join((_opened(self.root)[1], *self.inside))

    def is_file(self) -> bool:
        """Whether there is such a file."""
        if (path := self.local) is not None:
            return os.path.isfile(path)  # no error where a folder above it can't be read
        return bool(self._info().type == FileType.File)

    def is_folder(self) -> bool:
        """Whether there is such a folder; an object store has none that is empty."""
        if (path := self.local) is not None:
            return os.path.isdir(path)
        return bool(self._info().type == FileType.Directory)

    def modified(self) -> datetime | None:
        """When the file was last written; None where there is none."""
        info = self._info()
        return info.mtime if info.type == FileType.File else None

    def files(self, pattern: str = "*") -> "list[Place]":
        """Files in this folder, hidden ones aside, by name; none where there is no folder."""
        return [self / info.base_name for info in self._inside(FileType.File, pattern)]

    def folders(self, pattern: str = "*") -> "list[Place]":
        """Folders in this one, hidden ones aside, by name."""
        return [self / info.base_name for info in self._inside(FileType.Directory, pattern)]

    def stamps(self, pattern: str = "*") -> dict[str, tuple[int, int]]:
        """File of this folder -> (time of its last change in nanoseconds, size in bytes)."""
        found = self._inside(FileType.File, pattern)
        return {info.base_name: (info.mtime_ns, info.size) for info in found}

    def read(self) -> bytes:
        """The content of the file.

        Raises:
            OSError: it is not there, or can't be read.
        """
        with self.filesystem.open_input_stream(self.path) as file:
            content: bytes = file.read()
        return content

    def write(self, content: bytes) -> None:
        """Write the file, or replace it as a whole: a reader never sees half of it.

        Raises:
            OSError: the storage takes no more; the message names the file.
        """
        if (path := self.local) is None:  # an object appears when all of it has been sent
            with self.filesystem.open_output_stream(self.path) as file:
                file.write(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError as error:  # which names no file where the disk is full
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None

    def remove(self) -> None:
        """Remove the file, or the folder with all that is in it; nothing where there is none."""
        kind = self._info().type
        if kind == FileType.Directory:
            self.filesystem.delete_dir(self.path)
        elif kind != FileType.NotFound:
            self.filesystem.delete_file(self.path)

    def _info(self) -> FileInfo:
        return self.filesystem.get_file_info(self.path)

    def _inside(self, kind: FileType, pattern: str) -> list[FileInfo]:
        found = self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True))
        fitting = (
            info
            for info in found
            if info.type == kind
            and fnmatchcase(info.base_name, pattern)
            and not info.base_name.startswith(".")
        )
        return sorted(fitting, key=lambda info: info.base_name)


Storage = Place | Path | str
"""What can name the folder in which studies are kept."""


def local_folder(storage: Storage, study: str) -> Path:
    """The folder of this machine for those files of a study that need a file system.

    They are Optuna's journal, TensorBoard's files and the stacks of a hang. It is the study's own
    folder where that lies on a file system; else one in $SEGTUNE_CACHE or ~/.cache/segtune.
    """
    folder = Place.of(storage) / study
    if folder.local is not None:
        return folder.local
    cache = os.environ.get("SEGTUNE_CACHE")
    base = Path(cache) if cache else Path.home() / ".cache" / "segtune"
    return base / folder.path


@lru_cache
def _opened(root: str) -> tuple[FileSystem, str]:
    """A storage's file system and path."""
    if not root.startswith(S3):
        return LocalFileSystem(), root
    filesystem, path = FileSystem.from_uri(root)
    return filesystem, path.rstrip("/")
