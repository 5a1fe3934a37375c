"""Where alerts go: ``ARCHON_ALERT_URLS``, one or more Apprise URLs between blanks, line ends or commas.

``slack://…`` hears everything; ``critical=pover://…`` hears what is critical only, ``warning=…`` what is a warning or
worse. A URL that cannot be used does not silence the others: it is a channel whose every delivery fails, and says so.

The URLs carry tokens and passwords. Nothing but the address of a :class:`Channel` (``mailto://mail.example.org``) may
appear anywhere; :meth:`Channel.scrub` takes the rest out of what a library says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from archon_dagster.alerts.alert import SEVERITIES, Severity, rank

_BETWEEN = re.compile(r"\s*,\s+|\s+|,(?=(?:[a-z]+=)?[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_ENTRY = re.compile(
    rf"(?:(?P<least>{'|'.join(SEVERITIES)})=)?(?P<url>(?P<scheme>[a-z][a-z0-9+.-]*)://.+)", re.IGNORECASE
)
_WITH_HOST = re.compile("(form|gotify|http|json|mailto|mmost|xml)s?|r?syslog")
"""Schemes whose host is one; in the others (Slack, Telegram, Pushover, …) a token stands in its place."""
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Channel:
    """One address that is told.

    :param name: what it is called everywhere: scheme and host, without anything secret.
    :param least: the least severity it hears.
    :param fault: why it cannot be used; empty where it may.
    """

    name: str
    url: SecretStr
    least: Severity = "info"
    fault: str = ""

    def hears(self, severity: Severity) -> bool:
        """Whether an alert that severe is told here."""
        return rank(severity) >= rank(self.least)

    def scrub(self, said: str) -> str:
        """A text without any part of the URL that is not in the name."""
        return scrub(said, self.url)


def channels_of(urls: SecretStr) -> tuple[Channel, ...]:
    """The channels that a setting names, in its order."""
    found: dict[str, Channel] = {}
    for place, entry in enumerate(filter(None, _BETWEEN.split(urls.get_secret_value().strip())), start=1):
        channel = _channel(entry, place)
        same = sum(name.partition(" ")[0] == channel.name for name in found)
        name = f"{channel.name} ({same + 1})" if same else channel.name
        found[name] = Channel(name, channel.url, channel.least, channel.fault)
    return tuple(found.values())


def _channel(entry: str, place: int) -> Channel:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        why = f"it is no URL of a channel, or stands behind a severity other than {', '.join(SEVERITIES)}"
        return Channel(f"entry-{place}", SecretStr(entry), fault=why)
    url = match["url"]
    least: Severity = next((one for one in SEVERITIES if one == (match["least"] or "").lower()), "info")
    return Channel(address(url), SecretStr(url), least)


def address(url: str) -> str:
    """Scheme and host of a URL, nothing else; the scheme alone where no host can be told from a secret."""
    scheme = url.partition("://")[0].lower()
    try:
        host = urlsplit(url).hostname if _WITH_HOST.fullmatch(scheme) else None
    except ValueError:
        host = None
    return f"{scheme}://{host or '…'}"


def scrub(said: str, url: SecretStr) -> str:
    """A text without any part of a URL but its scheme and host."""
    for part in sorted(set(_secrets(url.get_secret_value())), key=len, reverse=True):
        said = said.replace(part, _HIDDEN)
    return said


def _secrets(url: str) -> Iterator[str]:
    """Whatever may be secret in a URL, as it stands there and decoded: user, password, path, values of the query."""
    rest = url.partition("://")[2] or url
    place, _, query = rest.partition("?")
    shown = address(url).partition("://")[2]
    values = (pair.partition("=")[2] or pair for pair in re.split("[&#]", query))
    for part in (rest, place, *re.split("[/@:#]", place), *values):
        for form in (part, unquote(part)):
            if len(form) > 1 and form.lower() != shown:
                yield form
