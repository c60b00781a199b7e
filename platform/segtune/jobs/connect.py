"""Connect to the jobs of a Ray cluster, or say in one message why that fails."""

import http.client
import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.job_submission import JobSubmissionClient

from segtune.execution.ray_cluster import authorization, refused_token
from segtune.study.overrides import SpecError

TIMEOUT = 10.0
"""Seconds that a cluster has to answer."""
_TALKATIVE = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
"""Loggers of Ray's that tell of packages and of connections, which say nothing to a user: what goes
wrong is raised too."""


def connect(address: str) -> JobSubmissionClient:
    """A client of the cluster's jobs.

    Args:
        address: of the dashboard, `http://HOST:8265`.

    Raises:
        SpecError: no cluster answers there, it refuses the token, or runs another Ray.
    """
    url = _checked(address)
    headers = authorization(os.environ, Path.home())
    version = _version(url, headers)
    if version != ray.__version__:
        raise SpecError(
            [
                f"the cluster at {url} runs Ray {version}, this machine has {ray.__version__}: "
                f"both must be the same. Here: pip install 'ray[default,train,tune]=={version}'"
            ]
        )
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return JobSubmissionClient(url, headers=headers)


def _checked(address: str) -> str:
    scheme, separator, host = address.partition("://")
    if separator and scheme in ("http", "https") and host.strip("/"):
        return address.rstrip("/")
    raise SpecError(
        [
            f"--address {address}: jobs go to a cluster's dashboard: give http://HOST:8265, such "
            "as http://127.0.0.1:8265"
        ]
    )


def _version(url: str, headers: Mapping[str, str]) -> str:
    """Version of the Ray that answers.

    Raises:
        SpecError: none does.
    """
    request = urllib.request.Request(f"{url}/api/version")
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # the token is for this host
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            answer: Any = json.load(reply)
        return str(answer["ray_version"])
    except urllib.error.HTTPError as error:
        raise SpecError([_refusal(url, error.code, bool(headers))]) from error
    except http.client.HTTPException as error:  # its text is what came, whatever bytes they are
        raise SpecError(
            [f"what answers at {url} speaks no HTTP: give the address of a dashboard (port 8265)"]
        ) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise SpecError(
            [
                f"no Ray cluster answers at {url}: {reason}. Is it running, and is this the "
                "address of its dashboard (port 8265, perhaps through a tunnel)?"
            ]
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError([f"what answers at {url} is no Ray dashboard: give its address"]) from error


def _refusal(url: str, status: int, sent: bool) -> str:
    if status in (401, 403):
        return refused_token(url, sent=sent)
    return f"what answers at {url} is no Ray dashboard (HTTP status {status}): give its address"
