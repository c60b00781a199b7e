"""Where studies are kept: a folder of a file system, or of a store that pyarrow knows by its URI.

All that a study writes goes through `Place`, so that tables and checkpoints need not know which it
is. Credentials, region and endpoint of a store are taken from the environment of each process, as
its vendor's own tools take them, and are never handed from one to another.
"""

import errno
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem


@dataclass(frozen=True)
class Store:
    """A kind of store."""

    form: str
    """Of its URIs."""
    needs: str
    """What it takes, and where credentials are read."""
    options: str = ""
    """What a URI gets where it does not say otherwise."""
    whole: bool = True
    """Whether a file appears only when all of it has been written."""


_S3 = Store(
    "s3://BUCKET/FOLDER",
    "The bucket must be there; credentials are taken from AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY or ~/.aws, the address of a store of your own from AWS_ENDPOINT_URL",
)
# Google's client would try again for a quarter of an hour where nobody answers.
_GCS = Store(
    "gs://BUCKET/FOLDER",
    "The bucket must be there; credentials are taken from GOOGLE_APPLICATION_CREDENTIALS or from "
    "`gcloud auth application-default login`",
    "retry_limit_seconds=5",
)
_AZURE = Store(
    "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER",
    "The container must be there; credentials are taken from AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_SECRET or from `az login`",
)
_HDFS = Store(
    "hdfs://HOST:PORT/FOLDER",
    "Every node needs Java and Hadoop's libhdfs, found by JAVA_HOME, HADOOP_HOME and CLASSPATH",
    whole=False,
)
STORES: Mapping[str, Store] = {
    "s3": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "hdfs": _HDFS,
    "viewfs": _HDFS,
}
"""By the scheme of a URI."""
FORMS = ", ".join(dict.fromkeys(store.form for store in STORES.values()))
LONGEST = 300
"""Characters of a store's own message that are shown."""


@dataclass(frozen=True)
class Place:
    """A file or folder of a storage. It need not exist."""

    root: str
    """The storage: an absolute path, or a URI of one of `STORES`."""
    inside: tuple[str, ...] = ()
    """Names of the folders and the file below it."""

    @classmethod
    def of(cls, storage: "Storage") -> "Place":
        """A storage as a person names it: a path, `~` included, or a URI. Nothing is opened.

        Raises:
            ValueError: a URI of another kind of store, or of another form, or with a password.
        """
        if isinstance(storage, Place):
            return storage
        text = str(storage)
        found = re.match(r"([A-Za-z0-9]+):/", text)  # pathlib makes one slash of two
        if found is None:
            return cls(str(Path(os.path.expanduser(text)).absolute()))
        if found[1] == "file":
            return cls(_path_of_file(text))
        if found[1] not in STORES:
            raise ValueError(f"results can't be kept under {text}: give a folder, or {FORMS}")
        form = STORES[found[1]].form
        match = re.fullmatch(r"[a-z0-9]+://([^/?#]+)[^#]*", text)
        if match is None:
            raise ValueError(f"results can't be kept under {text}: give {form}")
        if ":" in match[1].rpartition("@")[0] or re.search(r"[?&]client_secret=", text):
            raise ValueError(
                f"results can't be kept under this URI of {found[1]}://: a password does not "
                f"belong there, where tables and logs would keep it. Give {form}. "
                f"{STORES[found[1]].needs}"
            )
        return cls(text.rstrip("/"))

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
        return None if "://" in self.root else Path(self.root, *self.inside)

    @property
    def store(self) -> Store | None:
        """The kind of store; None on a file system."""
        return STORES[self.root.partition("://")[0]] if "://" in self.root else None

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
        with _told(self), self.filesystem.open_input_stream(self.path) as file:
            content: bytes = file.read()
        return content

    def write(self, content: bytes) -> None:
        """Write the file, or replace it as a whole: a reader never sees half of it.

        Raises:
            OSError: the storage takes no more; the message names the file.
        """
        if (path := self.local) is None:
            with _told(self):
                self._send(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError as error:  # which names no file where the disk is full
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None

    def _send(self, content: bytes) -> None:
        store, path = self.store, self.path
        assert store is not None
        if not store.whole:
            folder, _, name = path.rpartition("/")
            self.filesystem.create_dir(folder)
            path = f"{folder}/.{name}.{os.getpid()}"
        with self.filesystem.open_output_stream(path) as file:
            file.write(content)
        if not store.whole:
            self.filesystem.move(path, self.path)

    def remove(self) -> None:
        """Remove the file, or the folder with all that is in it; nothing where there is none."""
        kind = self._info().type
        with _told(self):
            if kind == FileType.Directory:
                self.filesystem.delete_dir(self.path)
            elif kind != FileType.NotFound:
                self.filesystem.delete_file(self.path)

    def _info(self) -> FileInfo:
        with _told(self):
            return self.filesystem.get_file_info(self.path)

    def _inside(self, kind: FileType, pattern: str) -> list[FileInfo]:
        with _told(self):
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


def plain_message(error: BaseException) -> str:
    """What a store says went wrong, without the pages that some add."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    short = first.rpartition("with a last message of ")[2].partition(" error_info=")[0]
    short = short.removeprefix("Unknown error: ")
    return short if len(short) <= LONGEST else f"{short[:LONGEST]} ..."


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """Have an error of a store name the place, be short, and say what the store takes.

    Raises:
        OSError: in the place of an error of Arrow's; one of the operating system stays as it is.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        needs = "" if place.store is None else f". {place.store.needs}"
        raise OSError(errno.EIO, f"{place}: {plain_message(error)}{needs}") from error


def _path_of_file(uri: str) -> str:
    """The path of `file:///FOLDER`.

    Raises:
        ValueError: it names another machine, or no folder.
    """
    parts = urllib.parse.urlsplit(uri)
    path = urllib.parse.unquote(parts.path)
    here = parts.netloc in ("", "localhost")
    if not here or not path.startswith("/") or parts.query or parts.fragment:
        raise ValueError(f"results can't be kept under {uri}: give file:///FOLDER, or the folder")
    return str(Path(path).absolute())


@lru_cache
def _opened(root: str) -> tuple[FileSystem, str]:
    """A storage's file system and path.

    Raises:
        OSError: pyarrow can't open it, as where a driver is missing; the message says what it
            takes.
    """
    scheme, is_uri, _ = root.partition("://")
    if not is_uri:
        return LocalFileSystem(), root
    store, uri = STORES[scheme], root
    option = store.options.partition("=")[0]
    if option and option not in uri:
        uri += ("&" if "?" in uri else "?") + store.options
    try:
        filesystem, path = FileSystem.from_uri(uri)
    except (pa.ArrowException, OSError, ImportError) as error:
        message = f"pyarrow can't open {root}: {plain_message(error)}. {store.needs}"
        raise OSError(errno.EIO, message) from error
    return filesystem, path.rstrip("/")
