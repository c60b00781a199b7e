"""A message to a webhook when a study ends, as Slack and its relatives take it.

The webhook's address is a secret: who has it can write there. Ray, W&B and the tables keep the
command line of a run, and every user of a machine can list it; so a run that was given the address
as an argument starts again with the address in a variable instead, which it takes out at once.
"""

import json
import os
import sys
import urllib.request
from dataclasses import asdict, dataclass
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit

VARIABLE = "SEGTUNE_NOTIFY"
FROM_VARIABLE = f"${VARIABLE}"
"""In place of the address on a command line: as a shell would have it, had it been asked."""
PATIENCE = 10.0
"""Seconds that the other side has to answer."""


@dataclass(frozen=True)
class Message:
    """How a run of a study ended."""

    text: str
    """For a person, in one line."""
    study: str
    status: str
    """`finished`, `failed` (some trials), `stopped` or `interrupted`."""
    trials: int = 0
    failed: tuple[str, ...] = ()
    """Ids of trials that failed."""


def address(given: str | None) -> str | None:
    """The webhook's address, off the command line and out of the environment; None for no webhook.

    This process is replaced by one with another command line where the address is on its own.

    Args:
        given: on the command line; None and `FROM_VARIABLE` take what the variable has.

    Raises:
        ValueError: it is no address of a webhook. The message does not repeat it.
    """
    url = os.environ.pop(VARIABLE, None) if given in (None, FROM_VARIABLE) else given
    if not url:
        if given is None:
            return None
        raise ValueError(f"--notify: {VARIABLE} has no address; set it, or leave --notify out")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "--notify takes the address of a webhook, http://... or https://...; what was given "
            "is not one (and is not repeated here, since such an address is a secret)"
        )
    if any(url in word for word in sys.orig_argv):
        os.environ[VARIABLE] = url
        words = [word.replace(url, FROM_VARIABLE) for word in sys.orig_argv]
        os.execv(sys.executable, words)
    return url


def send(url: str, message: Message) -> str | None:
    """Post a message as JSON; Slack gets its text alone.

    Returns:
        Why it did not arrive, without the address; None where it did.
    """
    slack = (urlsplit(url).hostname or "").endswith("slack.com")
    content = {"text": message.text} if slack else asdict(message)
    headers = {"Content-Type": "application/json", "User-Agent": "segtune"}
    try:
        request = urllib.request.Request(url, json.dumps(content).encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return None
    except HTTPError as error:
        return f"the webhook answered with status {error.code}"
    except (OSError, HTTPException, ValueError) as error:  # their texts may have the address
        reason = getattr(error, "reason", None)
        return f"the webhook did not answer ({type(reason or error).__name__})"
