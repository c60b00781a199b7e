"""The files of pretrained weights that a network starts from: which, whose, under what licence,
and whether they are there."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

_META = "https://dl.fbaipublicfiles.com"
_HUB = "https://huggingface.co"
_HASH = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""In the names of torch.hub's files: how the file's SHA-256 begins."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WEIGHTS = "model.safetensors"
"""What is read of a folder of transformers' or timm's."""


@dataclass(frozen=True)
class Published:
    """Weights as their authors publish them."""

    source: str
    """Where they are downloaded, or asked for."""
    licence: str
    """As its authors name it. It is theirs to read: nothing here gives any right."""
    megabytes: int | None = None
    """About, of 10^6 bytes; None where the page was not found to say it."""
    md5: str | None = None
    """How it begins, where the file's name says so."""


_DINOV3 = Published(
    "https://github.com/facebookresearch/dinov3 (on request)", "DINOv3 License", 1210
)
PUBLISHED: dict[str, Published] = {
    **{
        f"sam2.1_hiera_{size}.pt": Published(
            f"{_META}/segment_anything_2/092824/sam2.1_hiera_{size}.pt", "Apache-2.0", megabytes
        )
        for size, megabytes in (("tiny", 156), ("small", 184), ("base_plus", 324), ("large", 898))
    },
    **{
        f"sam_vit_{size}_{md5}.pth": Published(
            f"{_META}/segment_anything/sam_vit_{size}_{md5}.pth", "Apache-2.0", megabytes, md5
        )
        for size, md5, megabytes in (
            ("b", "01ec64", 375),
            ("l", "0b3195", 1250),
            ("h", "4b8939", 2565),
        )
    },
    "vit_large_patch14_dinov2.lvd142m": Published(
        f"{_HUB}/timm/vit_large_patch14_dinov2.lvd142m", "Apache-2.0", 1217
    ),
    "sam3.pt": Published(f"{_HUB}/facebook/sam3 (on request)", "SAM License"),
    "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth": _DINOV3,
    "Depth-Anything-V2-Small-hf": Published(
        f"{_HUB}/depth-anything/Depth-Anything-V2-Small-hf", "Apache-2.0", 99
    ),
    "Depth-Anything-V2-Base-hf": Published(
        f"{_HUB}/depth-anything/Depth-Anything-V2-Base-hf", "CC-BY-NC-4.0", 390
    ),
    "Depth-Anything-V2-Large-hf": Published(
        f"{_HUB}/depth-anything/Depth-Anything-V2-Large-hf", "CC-BY-NC-4.0", 1341
    ),
    "DA3MONO-LARGE": Published(f"{_HUB}/depth-anything/DA3MONO-LARGE", "Apache-2.0"),
    "DA3METRIC-LARGE": Published(f"{_HUB}/depth-anything/DA3METRIC-LARGE", "Apache-2.0"),
    "uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth": Published(
        "https://github.com/czczup/ViT-Adapter/releases/download/v0.3.1/"
        "uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth",
        "Apache-2.0 (of ViT-Adapter and of Uni-Perceiver)",
    ),
    "resnet34.imagenet": Published(f"{_HUB}/smp-hub/resnet34.imagenet", "see its model card"),
    "mit_b2.imagenet": Published(
        f"{_HUB}/smp-hub/mit_b2.imagenet",
        "other, says its model card; SegFormer's: research and evaluation, not commercial",
        99,
    ),
}
"""By the name of a file, of a folder, or after the last / of a name on the hub. Licences and sizes
are those that the authors' READMEs and model cards state, looked up in November 2026; of what was
not found there nothing is said but where to look. What a licence says is decided by the page that
the file comes from."""


@dataclass(frozen=True)
class WeightFile:
    """What one part of a network starts from."""

    field: str
    """The part's, dotted: `system.rgb`."""
    place: str
    """A file or folder of the user's, or a name on the hub."""
    on_hub: bool
    """Whether it is a name."""

    @property
    def name(self) -> str:
        """Of the file or folder, or on the hub."""
        return self.place if self.on_hub else Path(self.place).name

    @property
    def published(self) -> Published:
        """Whose it is, as far as its name tells."""
        if (known := PUBLISHED.get(self.name.rpartition("/")[2])) is not None:
            return known
        source = f"{_HUB}/{self.place}" if self.on_hub else "not known by this name"
        return Published(source, "not known here: see where it is from")

    @property
    def destination(self) -> Path | None:
        """The file that is read; None of one on the hub that its cache does not have."""
        if not self.on_hub:
            path = Path(self.place)
            return path / _WEIGHTS if path.is_dir() else path
        try:
            found = try_to_load_from_cache(self.place, _WEIGHTS)
        except HFValidationError:
            return None
        return Path(found) if isinstance(found, str) else None

    @property
    def is_there(self) -> bool:
        """Whether the file can be read from this machine."""
        return self.destination is not None and self.destination.is_file()

    def sha256(self) -> str:
        """Of the file, which is there."""
        return self._digest("sha256")

    def fault(self) -> str | None:
        """Why the file can't be the published one; None: it can, as far as it has a known hash.

        The hash is the one that its name says, or that the hub's cache names its content by.
        """
        path = self.destination
        if path is None or not path.is_file():
            where = " in the hub's cache" if path is None else ""
            return f"{self.field}: {path or self.place} is not there{where}"
        for kind, begins in self._expected(path):
            if not (found := self._digest(kind)).startswith(begins):
                return (
                    f"{self.field}: {path} is damaged: its {kind.upper()} is {found}, and should "
                    f"begin with {begins}: download it again"
                )
        return None

    def _expected(self, path: Path) -> Iterator[tuple[str, str]]:
        if (md5 := self.published.md5) is not None:
            yield "md5", md5
        if (named := _HASH.search(path.name)) is not None:
            yield "sha256", named[1]
        blob = path.resolve().name
        if self.on_hub and _SHA256.fullmatch(blob):
            yield "sha256", blob

    def _digest(self, kind: str) -> str:
        assert self.destination is not None, "it is there"
        with self.destination.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()


def weight_files(config: Any, field: str = "system") -> Iterator[WeightFile]:
    """The files that a configuration's parts start from; packaged and random weights are none.

    Args:
        config: of a system, or of a part of one.
        field: where it stands.
    """
    origin = getattr(config, "pretrained", None)
    if origin == "checkpoint" and config.checkpoint is not None:
        yield WeightFile(field, config.checkpoint, on_hub=False)
    elif origin == "hub" and config.hub is not None:
        yield WeightFile(field, config.hub, on_hub=True)
    for part in dataclasses.fields(config):
        value = getattr(config, part.name)
        if dataclasses.is_dataclass(value):
            yield from weight_files(value, f"{field}.{part.name}")
