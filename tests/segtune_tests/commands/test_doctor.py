"""The doctor: each check finds what is wrong, and says nothing where nothing is."""

import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from segtune.cli import main
from segtune.commands.doctor import findings_table
from segtune.doctor.cluster import (
    check_address,
    check_instances,
    check_port,
    check_token,
)
from segtune.doctor.examine import examine
from segtune.doctor.finding import Finding
from segtune.doctor.machine import (
    MEMORY,
    SHARED_MEMORY,
    check_memory,
    check_priority,
    check_shared_memory,
    memory_limit,
)
from segtune.doctor.processes import Holder, holder, ray_instances
from segtune.doctor.software import (
    Gpu,
    TorchFacts,
    check_dashboard,
    check_python,
    check_torch,
    check_torchvision,
    check_versions,
    read_pins,
)
from segtune.doctor.storage import (
    LOW,
    check_file_system,
    check_space,
    check_storage,
    file_system,
)

GIB = 2**30


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# Software


@pytest.mark.parametrize(("version", "level"), [("3.11.7", "ok"), ("3.10.14", "fault")])
def test_python(version: str, level: str) -> None:
    assert check_python(version, ">=3.11").level == level


REQUIRED = [
    "Scikit-Learn>=1.5",
    "torch>=2.6; extra == 'train'",
    "ray[default]>=2.60; extra == 'train'",
    "peft>=0.19; extra == 'train'",
    "kaleido>=1; extra == 'figures'",
]
THERE = {"scikit-learn": "1.7", "torch": "2.15.0", "ray": "2.60.0", "peft": "0.19"}
WELL = {"ray": "ok", "peft": "ok"}


@pytest.mark.parametrize(
    ("installed", "pins", "expected"),
    [
        (THERE, {}, WELL),
        (THERE, {"ray": "2.60.0"}, WELL),
        ({**THERE, "ray": "2.60.0+local"}, {"ray": "2.60.0"}, WELL),
        ({**THERE, "ray": "2.61.0"}, {"ray": "2.60.0"}, {**WELL, "ray": "warning"}),
        ({**THERE, "ray": "2.59.1"}, {}, {**WELL, "ray": "fault"}),
        ({**THERE, "scikit-learn": "1.4"}, {}, {**WELL, "Scikit-Learn": "fault"}),
        ({n: v for n, v in THERE.items() if n != "peft"}, {}, {"ray": "ok", "peft": "fault"}),
        ({"scikit-learn": "1.7"}, {}, {"extra `train`": "warning"}),
        ({"torch": "2.1"}, {}, {"extra `train`": "warning", "Scikit-Learn": "fault"}),
    ],
)
def test_versions(
    installed: dict[str, str], pins: dict[str, str], expected: dict[str, str]
) -> None:
    found = {f.subject: f for f in check_versions(REQUIRED, installed, pins)}
    found.pop("other packages")
    assert {s: f.level for s, f in found.items()} == expected
    for line in found.values():
        assert (line.level == "ok") != ("pip install" in line.advice)
        assert ";" not in line.advice


def test_pins_are_read_from_a_constraints_file(tmp_path: Path) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("# tested\nray==2.60.0  # newest\nScikit_Learn==1.7\n")
    assert read_pins(file) == {"ray": "2.60.0", "scikit-learn": "1.7"}
    assert read_pins(tmp_path / "none.txt") == {}


def test_rays_dashboard_needs_its_packages() -> None:
    required = ["click>=7", "requests; extra == 'tune'", "aiohttp_cors; extra == 'default'"]
    assert check_dashboard(required, {"aiohttp-cors": "0.8"}).level == "ok"
    missing = check_dashboard(required, {"requests": "2"})
    assert (missing.level, "aiohttp_cors" in missing.found) == ("fault", True)
    assert "ray[default,train,tune]" in missing.advice


GPU = Gpu("NVIDIA H100", 80 * GIB, 79 * GIB, bfloat16=True)
OLD = Gpu("Tesla T4", 15 * GIB, 15 * GIB, bfloat16=False)
BUSY = Gpu("NVIDIA H100", 80 * GIB, 2 * GIB, bfloat16=True)


@pytest.mark.parametrize(
    ("facts", "driver", "levels"),
    [
        (TorchFacts("2.15.0+cu132", "13.2", (GPU, GPU)), "580.65", ["ok", "ok", "ok"]),
        (TorchFacts("2.15.0+cu132", "13.2", ()), None, ["ok", "ok"]),
        (TorchFacts("2.15.0+cpu", None, ()), None, ["ok", "ok"]),
        (TorchFacts("2.15.0+cpu", None, ()), "580.65", ["fault"]),
        (TorchFacts("2.15.0+cu132", "13.2", ()), "470.57", ["fault"]),
        (TorchFacts("2.15.0+cu132", "13.2", (OLD,)), "580.65", ["ok", "warning"]),
        (TorchFacts("2.15.0+cu132", "13.2", (BUSY,)), "580.65", ["ok", "warning"]),
    ],
)
def test_torch_and_its_gpus(facts: TorchFacts, driver: str | None, levels: list[str]) -> None:
    assert [f.level for f in check_torch(facts, driver)] == levels


def test_torchvision() -> None:
    assert check_torchvision(["torch==2.15.0"], "2.15.0+cpu", None).level == "ok"
    assert check_torchvision(["torch==2.15.0"], "2.14.1", None).level == "fault"
    broken = check_torchvision(["torch==2.15.0"], "2.15.0", "operator nms does not exist")
    assert (broken.level, "nms" in broken.found) == ("fault", True)


# Storage

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/export /data/big\\040disk nfs4 rw 0 0
server:/other /data nfs rw 0 0
"""


def test_storage_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    for _ in range(2):
        lines = check_storage(folder, tmp_path / "no_mounts")
        assert lines[0].level == "ok"
        assert "renames" in lines[0].found
        assert not list(tmp_path.rglob("*")) or list(tmp_path.rglob("*")) == [folder]
        folder.mkdir(exist_ok=True)


@pytest.mark.parametrize("place", ["/proc/results", "{tmp}/file/results"])
def test_storage_that_cannot(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (line,) = check_storage(Path(place.format(tmp=tmp_path)), Path("/proc/mounts"))
    assert line.level == "fault"
    assert "--storage" in line.advice


@pytest.mark.parametrize(("free", "level"), [(LOW, "ok"), (LOW - 1, "warning")])
def test_free_space(free: int, level: str) -> None:
    assert check_space(free).level == level


@pytest.mark.parametrize(
    ("folder", "kind", "mount"),
    [
        ("/home/me", "ext4", "/"),
        ("/dev/shm/results", "tmpfs", "/dev/shm"),
        ("/data/big disk/results", "nfs4", "/data/big disk"),
        ("/data/bigger", "nfs", "/data"),
        ("/database", "ext4", "/"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str, mount: str) -> None:
    assert file_system(Path(folder), MOUNTS) == (kind, mount)


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", "ok"), ("nfs4", "ok"), ("tmpfs", "warning"), ("overlay", "warning")],
)
def test_a_file_system_that_does_not_last(kind: str, level: str) -> None:
    line = check_file_system(kind, "/x")
    assert line.level == level
    assert kind in line.found


# Machine


@pytest.mark.parametrize(("size", "level"), [(SHARED_MEMORY, "ok"), (64 * 2**20, "warning")])
def test_shared_memory(size: int, level: str) -> None:
    assert check_shared_memory(size).level == level


@pytest.mark.parametrize(
    ("limit", "physical", "level"),
    [
        (None, 64 * GIB, "ok"),
        (2 * GIB, 64 * GIB, "warning"),
        (MEMORY, 64 * GIB, "ok"),
        (2**63, 2 * GIB, "warning"),  # version 1 writes a huge number where there is no limit
    ],
)
def test_memory(limit: int | None, physical: int, level: str) -> None:
    line = check_memory(limit, physical)
    assert line.level == level
    assert ("control group" in line.found) == (limit is not None and limit < physical)


def test_memory_limit_of_both_versions_of_control_groups(tmp_path: Path) -> None:
    pod = tmp_path / "pod"
    (pod / "box").mkdir(parents=True)
    assert memory_limit("0::/pod/box\n", tmp_path) is None
    (pod / "box" / "memory.max").write_text("max\n")
    assert memory_limit("0::/pod/box\n", tmp_path) is None
    (pod / "memory.max").write_text(f"{3 * GIB}\n")  # the group above limits too
    assert memory_limit("0::/pod/box\n", tmp_path) == 3 * GIB
    old = tmp_path / "memory" / "docker"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text(f"{GIB}\n")
    assert memory_limit("8:pids:/\n4:cpu,memory:/docker\n", tmp_path) == GIB


@pytest.mark.parametrize(
    ("environment", "nice", "load", "level"),
    [
        ({}, 0, 0.5, "ok"),
        ({}, 0, 6.0, "warning"),
        ({"RAY_worker_niceness": "0"}, 0, 6.0, "ok"),
        ({"RAY_worker_niceness": "0"}, 10, 6.0, "warning"),
        ({"RAY_worker_niceness": "low"}, 0, 0.5, "fault"),
    ],
)
def test_priority(environment: dict[str, str], nice: int, load: float, level: str) -> None:
    assert check_priority(environment, nice, load, cpus=4).level == level


# Cluster


def test_a_free_port_and_one_that_this_process_holds(listening: int) -> None:
    held_by = holder(listening)
    assert held_by is not None
    assert f"({os.getpid()})" in held_by.name
    line = check_port(listening, "of the dashboard", held_by)
    assert (line.level, held_by.name in line.found) == ("warning", True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert holder(free) is None
    assert check_port(free, "of the dashboard", None).level == "ok"


def test_a_port_that_ray_holds_is_a_head() -> None:
    assert check_port(6379, "", Holder("gcs_server (7)", is_ray=True)).level == "ok"


def process(proc: Path, pid: int, command: str, inode: int = 0) -> None:
    """A process as Linux lists it."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode())
    (folder / "comm").write_text(Path(command.split()[0]).name + "\n")
    (folder / "fd" / "3").symlink_to(f"socket:[{inode}]")


def test_who_holds_a_port_and_whether_it_is_ray(tmp_path: Path) -> None:
    line = "   0: 00000000:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1"
    (tmp_path / "net").mkdir()
    rows = [line.format(6379, "0A", 11), line.format(8265, "0A", 12), line.format(80, "0A", 13)]
    rows.append(line.format(443, "01", 12))  # a connection, no listener
    (tmp_path / "net" / "tcp").write_text("\n".join(["  sl  local_address", *rows]))
    process(tmp_path, 5, "/x/ray/core/src/ray/gcs/gcs_server --port=6379", 11)
    process(tmp_path, 6, "/home/ray/bin/python -m http.server 8265", 12)
    assert holder(6379, tmp_path) == Holder("gcs_server (5)", is_ray=True)
    assert holder(8265, tmp_path) == Holder("python (6)", is_ray=False)
    assert holder(80, tmp_path) == Holder("a process of another user", is_ray=False)
    assert holder(443, tmp_path) is None


def test_ray_instances_are_told_by_their_raylets(tmp_path: Path) -> None:
    assert ray_instances(tmp_path) == set()
    raylet = "/x/ray/core/src/ray/raylet/raylet --node_ip_address=10.0.0.1 --gcs-address={}"
    process(tmp_path, 5, raylet.format("10.0.0.1:6379"))
    process(tmp_path, 6, raylet.format("10.0.0.1:6380"))
    process(tmp_path, 7, raylet.format("10.0.0.1:6380"))  # a second node of the same
    process(tmp_path, 8, "grep raylet --gcs-address=10.0.0.1:9999")
    assert ray_instances(tmp_path) == {"10.0.0.1:6379", "10.0.0.1:6380"}


@pytest.mark.parametrize(
    ("addresses", "address", "level"),
    [
        ((), None, "ok"),
        (("a:1",), "a:1", "ok"),
        (("a:1",), None, "warning"),
        (("a:1", "a:2"), None, "fault"),
        (("a:1", "a:2"), "a:1", "ok"),
    ],
)
def test_several_rays_on_one_machine(
    addresses: tuple[str, ...], address: str | None, level: str
) -> None:
    line = check_instances(addresses, address)
    assert line.level == level
    assert ("export RAY_ADDRESS=a:1" in line.advice) == (level != "ok")


@pytest.mark.parametrize(
    ("environment", "token", "level"),
    [
        ({}, None, "ok"),
        ({}, "t", "warning"),
        ({"RAY_AUTH_MODE": "token"}, "t", "ok"),
        ({"RAY_AUTH_MODE": "token"}, None, "fault"),
        ({"RAY_AUTH_MODE": "token"}, "", "fault"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"}, None, "ok"),
        ({"RAY_AUTH_MODE": "disabled"}, "t", "ok"),
        ({"RAY_AUTH_MODE": "yes"}, "t", "fault"),
    ],
)
def test_the_token_and_its_mode(
    tmp_path: Path, environment: dict[str, str], token: str | None, level: str
) -> None:
    if token is not None:
        file = tmp_path / ".ray" / "auth_token"
        file.parent.mkdir()
        file.write_text(token)
        file.chmod(0o600)
    assert check_token(environment, tmp_path).level == level


def test_a_token_that_others_may_read_and_one_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere"
    file.write_text("very secret")
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    file.chmod(0o600)
    assert check_token(environment, tmp_path).level == "ok"
    file.chmod(0o644)
    line = check_token(environment, tmp_path)
    assert (line.level, line.advice) == ("warning", f"chmod 600 {file}")
    assert "very secret" not in line.found


def test_an_address_that_answers_and_others_that_do_not(listening: int) -> None:
    for address in (f"127.0.0.1:{listening}", f"ray://127.0.0.1:{listening}", "auto", "", None):
        assert check_address(address).level == "ok"
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    bad = (f"127.0.0.1:{closed}", "127.0.0.1:99999", "http://127.0.0.1:8265", "head", ":6379")
    for address in bad:
        line = check_address(address)
        assert (line.level, bool(line.advice)) == ("fault", True), address


# The command


def test_this_machine_is_looked_over_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    subjects = {f.subject for f in examine(tmp_path, {})}
    assert subjects >= {
        "Python", "ray", "optuna", "sam2", "transformers", "peft", "torch", "torchvision",
        "storage", "free space", "file system", "memory", "priority", "token", "RAY_ADDRESS",
        "port 6379", "port 8265", "Ray instances", "Ray's dashboard",
    }  # fmt: skip


def doctor(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own, for it reads the environment."""
    return subprocess.run(
        [sys.executable, "-m", "segtune", "doctor", "--storage", str(home / "results"), *arguments],
        capture_output=True, text=True, cwd=home,
        env={**os.environ, "HOME": str(home), "COLUMNS": "80", **environment},
    )  # fmt: skip


def test_a_fault_ends_with_2_and_says_what_to_do(tmp_path: Path) -> None:
    done = doctor(tmp_path, RAY_AUTH_MODE="token", RAY_ADDRESS="http://127.0.0.1:8265")
    assert done.returncode == 2
    assert re.search(r"fault +token ", done.stdout)
    assert "ray get-auth-token --generate" in " ".join(done.stdout.split())
    assert re.search(r"fault +RAY_ADDRESS ", done.stdout)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_is_looked_over_with_its_data_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")  # no path is folded
    storage = ["--storage", str(tmp_path)]
    main(["doctor", "demo", *storage])
    assert re.search(r"ok +demo ", capsys.readouterr().out)
    assert main(["doctor", "srft_vs_svd", *storage]) == 2
    output = " ".join(capsys.readouterr().out.split())
    assert "data/L3D" in output
    assert "sam2.1_hiera_large.pt" in output
    assert main(["doctor", "dmeo", *storage]) == 2
    assert "unknown study 'dmeo'" in " ".join(capsys.readouterr().out.split())


def test_advice_stands_below_what_was_found_at_any_width() -> None:
    found = [Finding("ok", "a", "fine"), Finding("fault", "b", "broken " * 20, "mend [it]")]
    for width in (80, 140):
        text = io.StringIO()
        Console(file=text, width=width).print(findings_table(found))
        assert "-> mend [it]" in text.getvalue()
        assert "1 fault, 0 warnings" in text.getvalue()
        assert max(map(len, text.getvalue().splitlines())) <= width
