"""The report of a study that still runs: the same page, from this machine to this machine."""

import hashlib
import http.server
import json
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

from segtune.report.build import Beside, assemble
from segtune.report.evidence.checklist.record import status_text
from segtune.report.page.page import render
from segtune.results import tables
from segtune.results.storage import Place, Storage

HOST = "127.0.0.1"
LOOK_EVERY = 2.0
"""Seconds between two looks at the tables."""


@dataclass(frozen=True)
class State:
    """The page at one moment."""

    page: str
    version: str
    """Fingerprint of the tables that the page was built from."""
    text: str
    """`demo: 3 finished, 1 running`."""
    error: bool
    """Whether the last build failed; the page is then the one before, or says why."""


class Live:
    """A page that follows its tables: one thread builds it, others only read `state`."""

    def __init__(
        self, storage: Storage, studies: Sequence[str], beside: Beside = "compared"
    ) -> None:
        """Build the first page.

        Raises:
            ValueError: a study has no folder under `storage`, or they must not be compared.
        """
        self._storage, self._studies, self._beside = storage, list(studies), beside
        if all((Place.of(storage) / study).is_folder() for study in self._studies):
            self._state = _waiting(self._studies)
        else:
            assemble(storage, self._studies, beside)  # raises, and names the studies there
        self.look()

    @property
    def state(self) -> State:
        """The newest page."""
        return self._state

    def look(self) -> None:
        """Build again if the tables have changed.

        Raises:
            ValueError: the first page cannot be built.
        """
        version = "unread"  # not a fingerprint, so that the next look builds again
        try:
            version = fingerprint(self._storage, self._studies)
            if version == self._state.version:
                return
            counted = [_counted(self._storage, study) for study in self._studies]
            if not all(counted):
                return  # one of them has only just begun
            sections = assemble(self._storage, self._studies, self._beside)
            self._state = State(render(sections, live=version), version, "; ".join(counted), False)
        except Exception as error:  # one bad file must not end the server
            if isinstance(error, ValueError) and not self._state.version:
                raise  # the very first page cannot be built
            why = traceback.format_exc()
            page = self._state.page if self._state.version else _text_page(self._studies, why)
            text = f"This page could not be built anew: {why.splitlines()[-1]}"
            self._state = State(page, version, text, True)

    def follow(self, stopped: threading.Event) -> None:
        """Look every `LOOK_EVERY` seconds until the event is set."""
        while not stopped.wait(LOOK_EVERY):
            self.look()


def fingerprint(storage: Storage, studies: Sequence[str]) -> str:
    """A digest that changes with every file that a report is made of."""
    digest = hashlib.sha256()
    for study in studies:
        folder = Place.of(storage) / study
        looks = [tables.table_dir(storage, study, name).stamps() for name in tables.TABLES]
        looks += [folder.stamps("*.json"), folder.stamps("*.toml")]
        digest.update(repr((study, looks)).encode())
    return digest.hexdigest()[:16]


def serve(
    storage: Storage,
    studies: Sequence[str],
    *,
    port: int = 0,
    beside: Beside = "compared",
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the report on the loopback address until Ctrl-C.

    Args:
        storage: the folder that holds the studies.
        studies: their names, in the order of their sections.
        port: 0 takes a free one.
        beside: how several studies share a page.
        tell: is called with the address.

    Raises:
        ValueError: a study is not there, or the port is taken.
    """
    live = Live(storage, studies, beside)
    try:
        server = http.server.ThreadingHTTPServer((HOST, port), handler(live))
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"port {port} cannot be used ({error}): name another, or none for a free one"
        ) from error
    stopped = threading.Event()
    threading.Thread(target=live.follow, args=(stopped,), daemon=True).start()
    try:
        tell(f"The report is at http://{HOST}:{server.server_port}/ until Ctrl-C")
        server.serve_forever()
    except KeyboardInterrupt:
        tell("Stopped.")
    finally:
        stopped.set()
        server.server_close()


def handler(live: Live) -> type[http.server.BaseHTTPRequestHandler]:
    """Answers `/` and `/state`; refuses requests that call this machine by another name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, http.server.HTTPServer)
            port = self.server.server_port
            if self.headers.get("Host") not in {f"{HOST}:{port}", f"localhost:{port}"}:
                # A page elsewhere that points its own name here must not read the report.
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path == "/":
                self._send("text/html; charset=utf-8", live.state.page)
            elif self.path == "/state":
                state = live.state
                news = {"version": state.version, "text": state.text, "error": state.error}
                self._send("application/json", json.dumps(news))
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _send(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def _counted(storage: Storage, study: str) -> str:
    """`demo: 3 finished, 1 running`; empty before the first trial."""
    trials = tables.read(storage, study, "trials").to_pandas()
    return f"{study}: {status_text(trials)}" if len(trials) else ""


def _waiting(studies: Sequence[str]) -> State:
    text = f"{', '.join(studies)}: no trial on record yet"
    return State(_text_page(studies, text), "", text, False)


def _text_page(studies: Sequence[str], text: str) -> str:
    """A page with nothing but text, which reloads itself until there is a report."""
    return (
        '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(', '.join(studies))}</title>"
        f'<body style="font: 16px system-ui; margin: 3em"><pre>{escape(text)}</pre>'
    )
