"""Send one notice, in a process of its own: ``python -m archon_dagster.alerts.sending``.

A process, because it can be ended whatever it hangs in, because the libraries' logs with their addresses stay in it,
and because importing Apprise costs half a second that nobody else has to wait for. The order comes on standard input,
so that no secret is ever on a command line; the answer goes to standard output.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import urllib.error
import urllib.request
from typing import Any

_ANSWER_LIMIT = 10.0  # seconds a server may keep silent
_CAUSE = re.compile(r"\[Errno -?\d+\] [\w ,]+|Read timed out")  # what matters in a library's long exception


def main() -> None:
    """Read the order, do it, say how it went."""
    order = json.load(sys.stdin)
    answer = _beat(order["url"]) if order["do"] == "beat" else _notify(**order)
    json.dump(answer, sys.stdout)


def _answer(ok: bool, why: str = "", *, final: bool = False) -> dict[str, Any]:
    """``final``: another try would end the same way."""
    return {"ok": ok, "why": why, "final": final}


def _beat(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_LIMIT) as reply:  # anything but 2xx raises
            return _answer(True, f"HTTP {reply.status}")
    except urllib.error.HTTPError as error:
        return _answer(False, f"HTTP {error.code}")
    except (OSError, ValueError) as error:  # ValueError: no usable address
        return _answer(False, str(getattr(error, "reason", error)) or type(error).__name__)


def _notify(do: str, url: str, title: str, text: str, markdown: str, kind: str) -> dict[str, Any]:
    said = _Listener()
    logging.getLogger().addHandler(said)
    logging.getLogger().setLevel(logging.DEBUG)  # the reasons are debug messages
    from apprise import Apprise, AppriseAsset, NotifyFormat

    asset = AppriseAsset(app_id="Archon", app_desc="Archon operations", secure_logging=True)
    plugin = Apprise.instantiate(url, asset=asset)
    if plugin is None:
        return _answer(False, "Apprise does not accept this URL, or a package it needs is missing", final=True)
    formats: Any = plugin.notify_format  # one, or several with the preferred one first
    rich = (formats[0] if isinstance(formats, tuple) else formats) in (NotifyFormat.MARKDOWN, NotifyFormat.HTML)
    sender = Apprise(asset=asset)
    sender.add(plugin)
    sent = sender.notify(
        title=title,
        body=markdown if rich else text,
        body_format=NotifyFormat.MARKDOWN if rich else NotifyFormat.TEXT,
        notify_type=kind,
    )
    return _answer(True) if sent else _answer(False, "; ".join(said.reasons) or "Apprise gives no reason")


class _Listener(logging.Handler):
    """Keeps what Apprise says about a failure."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.name == "apprise" and (record.levelno >= logging.WARNING or "Exception:" in said):
            cause = _CAUSE.search(said)
            self.reasons.append(cause[0] if cause else said)


if __name__ == "__main__":
    main()
