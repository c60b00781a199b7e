"""The archive that a job takes along: the installed segtune and srft-galore, and the study's file.

The archive is the content of both wheels with the study's file added to it, and becomes the job's
working directory. Ray would also take a wheel as a Python module, but then has pip install it on
every node, with all its dependencies anew, and keeps the first one of a version for good.
"""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

from segtune.extras import install
from segtune.study.overrides import SpecError

CAP = 100 * 2**20
"""Bytes that Ray's dashboard takes in one request. Ray's own warning names more."""
TAKEN = ("segtune", "srft-galore")
"""Distributions whose code is taken along; all others the nodes have."""
STUDIES = "studies"
"""Folder of the archive for the study's file: at the top it could shadow a module by its name."""
_DATE = (1980, 1, 1, 0, 0, 0)  # no clock: the same content is uploaded once
_LOCAL = "direct_url.json"  # where on this machine it was installed from


def archive(folder: Path, study: Path | None) -> Path:
    """Make the archive.

    Args:
        folder: where it is written.
        study: the file of a study; None where the study comes with segtune.

    Raises:
        SpecError: it can't be packed, or Ray would not take it.
    """
    packed = folder / "segtune.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for name in TAKEN:
            with zipfile.ZipFile(_wheel(folder / name, _installed(name))) as wheel:
                for inside in wheel.namelist():
                    _add(out, inside, wheel.read(inside))
        if study is not None:
            _add(out, f"{STUDIES}/{study.name}", study.read_bytes())
    check_size(packed)
    return packed


def check_size(packed: Path, cap: int = CAP) -> None:
    """Whether Ray takes an archive.

    Raises:
        SpecError: it is too large; names its largest files.
    """
    size = packed.stat().st_size
    if size <= cap:
        return
    with zipfile.ZipFile(packed) as inside:
        largest = sorted(inside.infolist(), key=lambda i: -i.compress_size)[:3]
    named = ", ".join(f"{i.filename} ({_mib(i.compress_size)})" for i in largest)
    raise SpecError(
        [
            f"the job's archive is {_mib(size)}, Ray takes {_mib(cap)}. Its largest files: "
            f"{named}. Take them out of the packages: data and weights belong on the nodes' storage"
        ]
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _installed(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise SpecError(
            [
                f"a job takes {name} along, which is not installed as a package here: in a "
                f"checkout, make install; elsewhere, {install('submit')}"
            ]
        ) from None


def _wheel(folder: Path, installed: importlib.metadata.Distribution) -> Path:
    """The wheel of a checkout is built; the files of an installed wheel are packed again.

    Args:
        folder: where it is written; empty or not there.
        installed: the distribution.
    """
    folder.mkdir(exist_ok=True)
    url = json.loads(installed.read_text(_LOCAL) or "{}")
    if url.get("dir_info", {}).get("editable"):
        source = urllib.parse.urlparse(url["url"]).path
        return _build(folder, Path(urllib.request.url2pathname(source)))
    return _pack(folder, installed)


def _build(folder: Path, source: Path) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        raise SpecError(
            [
                "to submit from a checkout, its wheels are built with hatchling, which is not "
                f"installed: {install('submit')}"
            ]
        )
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode != 0:
        raise SpecError([f"the wheel of {source} can't be built: {done.stderr.strip()}"])
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pack(folder: Path, installed: importlib.metadata.Distribution) -> Path:
    """The files of an installed wheel, without its commands and what pip added."""
    packed = folder / f"{installed.name}-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(packed, "w") as out:
        for file in sorted(installed.files or []):
            if file.parts[0] != ".." and file.suffix != ".pyc" and file.name != _LOCAL:
                _add(out, str(file), file.read_binary())
    return packed


def _add(out: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    out.writestr(info, content, zipfile.ZIP_DEFLATED)
