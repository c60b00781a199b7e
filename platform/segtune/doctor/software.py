"""Python and the packages: versions against what segtune asks for and was tested with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from segtune.doctor.finding import Finding, gib
from segtune.extras import TRAINING, install

SHOWN = ("ray", "optuna", "sam2", "transformers", "peft")
"""Packages that get a line of their own even when all is well."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as torch sees it."""

    name: str
    memory: int
    """Bytes."""
    free: int
    """Bytes that no process holds."""
    bfloat16: bool


@dataclass(frozen=True)
class TorchFacts:
    """What torch says of itself and of the GPUs."""

    version: str
    cuda: str | None
    """CUDA that it was built for; None for a build without."""
    gpus: tuple[Gpu, ...]


def check_python(version: str, wanted: str) -> Finding:
    """Python's version against the project's range."""
    if Version(version) in SpecifierSet(wanted):
        return Finding("ok", "Python", version)
    advice = "make the environment anew with such a Python"
    return Finding("fault", "Python", f"{version}, segtune needs {wanted}", advice)


def read_pins(path: Path) -> dict[str, str]:
    """Package -> version of a constraints file; empty where there is none."""
    if not path.is_file():
        return {}
    pins = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    pairs = (pin.split("==") for pin in pins if "==" in pin)
    return {canonicalize_name(name): version for name, version in pairs}


def check_versions(
    required: Iterable[str], installed: Mapping[str, str], pins: Mapping[str, str]
) -> list[Finding]:
    """The packages that segtune asks for, those of the extra `train` where torch and Ray are there.

    Args:
        required: requirements as segtune's own metadata lists them; other extras are left out.
        installed: version by normalised name.
        pins: the versions that the tests ran with, by normalised name.
    """
    found, fine, extras = [], 0, {"", "train"}
    if missing := [name for name in TRAINING if name not in installed]:
        what = f"{' and '.join(missing)} not installed: this machine reads, reports and verifies"
        found.append(Finding("warning", "extra `train`", what, install("train")))
        extras = {""}
    for requirement in map(Requirement, required):
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        requirement.marker = None  # it stands in what is to be typed
        line = _check_version(requirement, installed, pins)
        if line.level != "ok" or requirement.name in SHOWN:
            found.append(line)
        else:
            fine += 1
    return [*found, Finding("ok", "other packages", f"{fine} as asked for")]


def _check_version(
    requirement: Requirement, installed: Mapping[str, str], pins: Mapping[str, str]
) -> Finding:
    name = requirement.name
    version, tested = (of.get(canonicalize_name(name)) for of in (installed, pins))
    if version is None:
        return Finding("fault", name, "is not installed", f"pip install '{requirement}'")
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{version}, segtune needs {requirement.specifier}"
        return Finding("fault", name, found, f"pip install '{requirement}'")
    if tested is not None and Version(version).public != Version(tested).public:
        advice = f"if it makes trouble: pip install {name}=={tested}"
        return Finding("warning", name, f"{version}, tested with {tested}", advice)
    return Finding("ok", name, version)


def check_dashboard(required: Iterable[str], installed: Mapping[str, str]) -> Finding:
    """The packages of Ray's dashboard, without which a stopped trial never frees its resources.

    Args:
        required: Ray's requirements, extras included.
        installed: version by normalised name.
    """
    wanted = [r for r in map(Requirement, required) if r.marker is not None]
    of_default = [
        r
        for r in wanted
        if r.marker is not None
        and r.marker.evaluate({"extra": "default"})
        and not r.marker.evaluate({"extra": ""})
    ]
    missing = sorted(r.name for r in of_default if canonicalize_name(r.name) not in installed)
    if missing:
        return Finding(
            "fault",
            "Ray's dashboard",
            f"{', '.join(missing)} is missing: a study would wait for ever once a trial is stopped",
            "pip install 'ray[default,train,tune]'",
        )
    return Finding("ok", "Ray's dashboard", "its packages are there")


def check_torch(facts: TorchFacts, driver: str | None) -> list[Finding]:
    """The build of torch against the driver, and the GPUs.

    Args:
        facts: what torch says.
        driver: version of the NVIDIA driver; None where there is none.
    """
    build = "built without CUDA" if facts.cuda is None else f"built for CUDA {facts.cuda}"
    found = f"{facts.version}, {build}"
    if driver is not None and facts.cuda is None:
        found += f", but this machine has an NVIDIA driver ({driver})"
        return [Finding("fault", "torch", found, "install a torch and torchvision with CUDA")]
    if driver is not None and not facts.gpus:
        found += f", sees no GPU although the driver ({driver}) is loaded"
        advice = (
            f"a driver too old for CUDA {facts.cuda} (nvidia-smi names the newest it can do), "
            "CUDA_VISIBLE_DEVICES, or a container started without --gpus"
        )
        return [Finding("fault", "torch", found, advice)]
    lines = [Finding("ok", "torch", found)]
    if not facts.gpus:
        lines.append(Finding("ok", "GPU", "none: trials train on the CPU"))
    return [*lines, *(_check_gpu(number, gpu) for number, gpu in enumerate(facts.gpus))]


def _check_gpu(number: int, gpu: Gpu) -> Finding:
    subject = f"GPU {number}"
    found = f"{gpu.name}, {gib(gpu.free)} of {gib(gpu.memory)} free"
    if gpu.free < gpu.memory / 2:
        advice = "nvidia-smi shows whose processes hold it"
        return Finding("warning", subject, found, advice)
    if not gpu.bfloat16:
        advice = "nothing to do: it trains in float32, slower and with more memory"
        return Finding("warning", subject, f"{found}, no bfloat16", advice)
    return Finding("ok", subject, f"{found}, bfloat16")


def check_torchvision(required: Sequence[str], torch: str, error: str | None) -> Finding:
    """Whether torchvision was made for this torch.

    Args:
        required: torchvision's requirements; it names one torch exactly.
        torch: its version.
        error: what importing torchvision said, where it failed.
    """
    advice = "install both from the same place in one command, both with CUDA or both without"
    for requirement in map(Requirement, required):
        if requirement.name == "torch" and not requirement.specifier.contains(torch):
            found = f"made for torch{requirement.specifier}, not for {torch}"
            return Finding("fault", "torchvision", found, advice)
    if error is not None:
        return Finding("fault", "torchvision", f"does not import: {error}", advice)
    return Finding("ok", "torchvision", f"made for torch {torch}")
