"""What lies between this machine and a Ray cluster: ports, token, address, other instances."""

import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from segtune.doctor.finding import Finding
from segtune.doctor.processes import Holder

PORTS = {6379: "of a head's GCS (ray start --port)", 8265: "of the dashboard (--dashboard-port)"}
TIMEOUT = 3.0
"""Seconds that a cluster has to answer."""
_KEYWORDS = ("auto", "local")


def check_port(port: int, use: str, held_by: Holder | None) -> Finding:
    """Whether a port that Ray takes by default is free.

    Args:
        port: its number.
        use: what Ray has it for.
        held_by: who listens there; None where nobody does.
    """
    subject = f"port {port}"
    if held_by is None:
        return Finding("ok", subject, f"free, {use}")
    if held_by.is_ray:
        return Finding("ok", subject, f"Ray's {held_by.name} listens there: a head is running")
    advice = "give `ray start --head` another one"
    return Finding("warning", subject, f"taken by {held_by.name}, {use}", advice)


def check_token(environment: Mapping[str, str], home: Path) -> Finding:
    """Whether RAY_AUTH_MODE and the token agree. The token itself is not read.

    A head turns authentication on where it finds a token and the mode is not set; `ray job submit`
    sends the token only where the mode says so.
    """
    mode = environment.get("RAY_AUTH_MODE")
    file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token")
    token = "RAY_AUTH_TOKEN" if environment.get("RAY_AUTH_TOKEN") else None
    if token is None and file.is_file() and file.stat().st_size > 0:
        token = str(file)
    if mode is not None and mode.lower() not in ("token", "disabled"):
        found = f"RAY_AUTH_MODE = {mode}: Ray knows token and disabled"
        return Finding("fault", "token", found, "export RAY_AUTH_MODE=token")
    if mode is not None and mode.lower() == "token":
        if token is None:
            found = f"RAY_AUTH_MODE = token, but there is none in RAY_AUTH_TOKEN or {file}"
            advice = "bring the head's, or make one: ray get-auth-token --generate"
            return Finding("fault", "token", found, advice)
        if token == str(file) and file.stat().st_mode & 0o077:
            advice = f"chmod 600 {file}"
            return Finding("warning", "token", f"others may read {file}", advice)
        return Finding("ok", "token", f"RAY_AUTH_MODE = token, token in {token}")
    if mode is not None:
        return Finding("ok", "token", "authentication is off (RAY_AUTH_MODE = disabled)")
    if token is not None:
        found = f"token in {token}, RAY_AUTH_MODE is not set: a head asks for it, clients send none"
        return Finding("warning", "token", found, "export RAY_AUTH_MODE=token")
    return Finding(
        "ok", "token", "none, and RAY_AUTH_MODE is not set: Ray makes one if it needs it"
    )


def check_address(address: str | None) -> Finding:
    """Whether a cluster answers at RAY_ADDRESS."""
    subject = "RAY_ADDRESS"
    if not address:
        return Finding("ok", subject, "not set: `segtune run` starts Ray on this machine")
    if address in _KEYWORDS:
        return Finding("ok", subject, f"{address}: Ray looks on this machine")
    if address.startswith(("http://", "https://")):
        found = f"{address} is a dashboard's: jobs are submitted there, a run can't join"
        return Finding("fault", subject, found, "give HOST:6379, the head's own port")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    advice = "start the head, correct it, or unset RAY_ADDRESS to use this machine"
    if not host or not port.isdigit():
        return Finding("fault", subject, f"{address} is not HOST:PORT", advice)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT).close()
    except (OSError, OverflowError) as error:
        return Finding("fault", subject, f"nobody answers at {address}: {error}", advice)
    return Finding("ok", subject, f"{address} answers")


def check_instances(addresses: Collection[str], address: str | None) -> Finding:
    """Whether the clean-up of stopped trials can tell which Ray of this machine is theirs.

    With several and no RAY_ADDRESS it can't, the resources of stopped trials are never freed, and
    the study waits for ever. A run without an address starts one more.

    Args:
        addresses: of the Ray clusters with a node on this machine.
        address: RAY_ADDRESS.
    """
    found = f"{', '.join(sorted(addresses)) or 'no other Ray'} on this machine"
    if not addresses or address:
        return Finding("ok", "Ray instances", found)
    advice = f"join one: export RAY_ADDRESS={min(addresses)}; or end those that nobody needs"
    trap = "stopped trials may never free what they hold"
    if len(addresses) > 1:
        found += f", and RAY_ADDRESS is not set: {trap}"
        return Finding("fault", "Ray instances", found, advice)
    found += f", and RAY_ADDRESS is not set: `segtune run` would start a second one, where {trap}"
    return Finding("warning", "Ray instances", found, advice)
