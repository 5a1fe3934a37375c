"""HTTP to one Qdrant server: time-outs, the key, and errors an operator can act on.

The key travels as a header only; it is in no repr, no address and no message.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from archon_dagster.errors import ConfigurationError, StoreError, StoreUnavailable
from archon_dagster.stores.vectors import waiting
from archon_dagster.stores.vectors.waiting import Check, Grace, Line, Pace, Stalled

CONNECT, ANSWER, IDLE = 5.0, 30.0, 30.0  # seconds: to connect, for an ordinary answer, between two pieces of a stream
RATE_LIMITED = 300.0  # seconds a request may be put off by a collection's rate limit


class Refused(StoreError):
    """The server answered, and the answer was no.

    :param status: the HTTP status.
    :param said: the server's own words.
    """

    def __init__(self, what: str, *, status: int, said: str, where: str, todo: str | None = None):
        self.status, self.said = status, said
        super().__init__(what, where=where, todo=todo)


def path(*parts: str) -> str:
    """A path of quoted parts: collection names may hold spaces, slashes and any script."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


class Transport:
    """Requests to one server. Holds connections: use as a context manager."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.address = address(url)
        parts = urlsplit(url)
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._headers = {"api-key": api_key} if api_key else {}
        self._tls = ssl.create_default_context() if url.startswith("https:") else False
        self._client = self._connections()

    def _connections(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.address,  # without credentials: httpx logs addresses
            auth=self._auth,
            headers=self._headers,
            timeout=httpx.Timeout(ANSWER, connect=CONNECT),
            trust_env=False,  # a proxy for the web is not a way to a database
            limits=httpx.Limits(keepalive_expiry=2.0),  # the server closes idle connections after five
            verify=self._tls,
        )

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def __repr__(self) -> str:
        return f"Transport({self.address!r})"

    def request(
        self,
        method: str,
        target: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        patience: float = ANSWER,
        grace: Grace = waiting.none,
        reads: bool = False,
        check: Check = waiting.never,
    ) -> Any:
        """The ``result`` of an answer (or the whole of it where there is none).

        :param patience: seconds to wait for the answer.
        :param grace: see :func:`waiting.call`.
        :param reads: it changes nothing, so it may be sent twice.
        :raises StoreUnavailable: there is no answer. :raises Refused: the answer is an error.
        """
        timeout = httpx.Timeout(patience, connect=CONNECT)

        def ask() -> httpx.Response:
            if isinstance(body, bytes):  # JSON already
                headers = {"content-type": "application/json"}
                return self._client.request(
                    method, target, content=body, headers=headers, params=params, timeout=timeout
                )
            return self._client.request(method, target, json=body, params=params, timeout=timeout)

        def ask_again() -> httpx.Response:
            """A kept connection may be closed by the server in the moment it is used again."""
            try:
                return ask()
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                return ask()

        until = time.monotonic() + RATE_LIMITED

        def answered() -> httpx.Response:
            return waiting.call(ask_again if reads else ask, check, grace=grace, limit=2 * patience)

        with self._explained(method, target, patience), self._slow(method, target):
            answer = answered()
            while (again := _retry_after(answer)) is not None and time.monotonic() + again < until:
                waiting.pause(again, check)
                answer = answered()
        return self._result(method, target, answer)

    def download(self, target: str, offset: int, check: Check, pace: Pace) -> Generator[bytes, None, None]:
        """A file from ``offset`` on; raises as :meth:`request`, and ends early where the server ends early.

        Close the generator to stop: that cuts the connection.

        :raises Stalled: it comes too slowly; unlike a broken connection that is nothing to try again for.
        """
        line = Line()

        def produce() -> Iterator[bytes]:
            headers = {"accept-encoding": "identity"} | ({"range": f"bytes={offset}-"} if offset else {})
            timeout = httpx.Timeout(IDLE, connect=CONNECT)
            with (
                self._connections() as client,
                client.stream("GET", target, headers=headers, timeout=timeout, extensions=line.extensions) as answer,
            ):
                if answer.status_code >= 400:
                    answer.read()
                    self._result("GET", target, answer)
                skip = offset if answer.status_code == 200 else 0  # a server that does not know ranges starts over
                for piece in answer.iter_raw():
                    dropped = min(skip, len(piece))
                    skip -= dropped
                    if piece[dropped:]:
                        yield piece[dropped:]

        with self._explained("GET", target, IDLE), line:
            yield from waiting.stream(produce, check, pace)

    def upload(
        self,
        target: str,
        field: str,
        name: str,
        file: IO[bytes],
        *,
        params: Mapping[str, str],
        patience: float,
        check: Check,
        grace: Grace,
    ) -> Any:
        """Send a file as one part of a multipart body, streaming; returns as :meth:`request`.

        :param grace: see :func:`waiting.call`; counts once the whole file is sent. Before that nothing has begun.
        """
        timeout = httpx.Timeout(patience, connect=CONNECT, write=max(IDLE, 60.0))
        line = Line()
        body = _Body(file, check, Pace(patience), line)
        parts = {field: (name, body, "application/octet-stream")}

        def send() -> httpx.Response:
            with self._connections() as client:
                return client.post(target, files=parts, params=params, timeout=timeout, extensions=line.extensions)  # type: ignore[arg-type]

        with self._explained("POST", target, patience), self._slow("POST", target), line:
            answer = waiting.call(send, body.check, grace=lambda: grace() if body.sent else 0.0)
        return self._result("POST", target, answer)

    @contextmanager
    def _explained(self, method: str, target: str, patience: float) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectTimeout as error:
            raise self._silent(f"no connection within {CONNECT:.0f} s", method, target) from error
        except httpx.TimeoutException as error:
            raise self._silent(f"no answer within {patience:g} s", method, target) from error
        except httpx.TransportError as error:
            raise self._silent(f"no connection: {error or type(error).__name__}", method, target) from error

    @contextmanager
    def _slow(self, method: str, target: str) -> Iterator[None]:
        try:
            yield
        except Stalled as error:
            raise self._silent(f"it is too slow: {error}", method, target) from error

    def _silent(self, why: str, method: str, target: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"Qdrant does not answer: {why}",
            where=self.address,
            tried=f"{method} {target}",
            todo="look at the service (archon status) and its log, then start the run again",
        )

    def _result(self, method: str, target: str, answer: httpx.Response) -> Any:
        try:
            content: Any = json.loads(answer.content) if answer.content else None
        except ValueError:
            content = answer.text
        if answer.status_code < 400:
            return content.get("result", content) if isinstance(content, dict) else content
        said = _error(content)
        raise Refused(
            f"Qdrant refused {method} {target}: {answer.status_code} {said}",
            status=answer.status_code,
            said=said,
            where=self.address,
            todo=_advice(answer.status_code, said),
        )


class _Body:
    """A file that is being sent: its reading stops when the run is cancelled, and it must move.

    ``sent`` is true when all of it has been handed to the connection.
    """

    def __init__(self, file: IO[bytes], check: Check, pace: Pace, line: Line) -> None:
        self._file, self._check, self._pace, self._line = file, check, pace, line
        self.sent, self._looked = False, time.monotonic()

    def read(self, size: int = -1) -> bytes:
        try:
            self._check()
            piece = self._file.read(size)
        except BaseException:
            self._line.cut()
            raise
        self._pace.moved(len(piece))
        self.sent = not piece
        return piece

    def check(self) -> None:
        """:raises Stalled: the server takes it too slowly."""
        self._check()
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        if not self.sent:
            self._pace.waited(passed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def address(url: str) -> str:
    """The server's address without credentials; raises :class:`ConfigurationError` for what is no HTTP address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("QDRANT_URL is not an http(s) address", todo="correct it; nothing was touched")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "") + parts.path.rstrip("/")


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds after which a request that hit a collection's rate limit (strict mode) may be sent again."""
    after = answer.headers.get("retry-after", "") if answer.status_code == 429 else ""
    return max(0.1, float(after)) if after.replace(".", "", 1).isdecimal() else None


def _error(content: Any) -> str:
    if isinstance(content, dict):
        status = content.get("status")
        return str(status.get("error", status) if isinstance(status, dict) else status or content)
    return str(content or "").strip()


def _advice(status: int, said: str) -> str | None:
    if status == 401:
        return "set QDRANT_API_KEY to the server's key"
    if status == 403:
        return "QDRANT_API_KEY needs manage access: a read-only or collection key cannot create snapshots"
    if "File name too long" in said:
        return "the collection's name is too long for the server to make files of it: give the collection a shorter one"
    if "No space left" in said:
        return "free disk space on the server's volume; reads still work, writes and deletes do not"
    return None
