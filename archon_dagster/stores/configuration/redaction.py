"""Take secret values out of configuration files, and put the ones that are known here back in.

Nothing is encrypted yet, so a backup must not hold a password. A secret value is replaced by a placeholder; what is
around it (its name, the rest of a URL) stays. A restore takes the value from the live file. Where that has none, the
line of a ``.env`` file is written commented out, for a placeholder that a service takes for a password hides the
loss.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dotenv.parser import parse_stream

PLACEHOLDER = "__WITHHELD_FROM_THE_BACKUP__"
MISSING = "# withheld from the backup and not known here, set it: "

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|DSN|CREDENTIAL", re.IGNORECASE)
# in files of other kinds "key" alone is mostly a setting: "key_prefix", "primary_key"
_SECRET_FIELD = re.compile(
    r"(?:SECRET|TOKEN|PASSWORD|PASSWD|DSN|CREDENTIALS?"
    r"|(?:API|SECRET|ACCESS|PRIVATE|ENCRYPTION|SIGNING|MASTER|AUTH|SERVICE|ROLE|ACCOUNT)[_.-]?KEY)$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"""(?<=://)(?P<user>[^\s:/@"']*):(?P<password>[^\s"']+)@""")
_REFERENCE = re.compile(r"""["']?\$(?:\{[^}]*\}|\w+)["']?$""")
_ASSIGNMENT = re.compile(
    r"(?P<head>\s*(?:export\s+)?(?P<name>[^\s=#'\"]+)\s*=[ \t]*)(?P<value>.*?)(?P<tail>\s*)$", re.DOTALL
)
_COMMENTED = re.compile(
    r"(?P<head>\s*#+\s*(?:export\s+)?(?P<name>[A-Za-z_][\w.]*)\s*=[ \t]*)(?P<value>\S.*?)(?P<tail>\s*)$", re.DOTALL
)
_ANYWHERE = re.compile(r"(?P<head>(?P<name>[A-Za-z_][\w.]*)\s*=\s*)(?P<value>\S+)")
_PAIR = re.compile(
    r"""(?P<head>^[ \t]*(?:-[ \t]+)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?[ \t]*[:=][ \t]*)(?P<value>[^\s|>&*#][^\n]*?)"""
    r"""(?P<tail>[ \t]*,?[ \t]*)$"""
    r"""|(?P<head2>["'](?P<name2>[A-Za-z_][\w.-]*)["'][ \t]*:[ \t]*)(?P<value2>"[^"\n]+"|'[^'\n]+')""",
    re.MULTILINE,
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_FILES = (".key", ".p12", ".pfx", ".jks", ".keystore")
_WHOLE = f"{PLACEHOLDER}\n".encode()


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that was taken out.

    :param name: of the variable or field; empty when the whole file is withheld.
    :param value: what stood there.
    :param part: the whole value, or only the password in a URL.
    :param commented: it stood in a comment.
    """

    name: str
    value: str = field(repr=False, compare=False)
    part: Literal["value", "password"] = "value"
    commented: bool = False


@dataclass(frozen=True, slots=True)
class Redacted:
    """A file as it may be stored, and what was taken out of it, in order."""

    content: bytes
    secrets: tuple[Secret, ...] = ()

    @property
    def names(self) -> list[str]:
        return [secret.name or "the whole file" for secret in self.secrets]


@dataclass(frozen=True, slots=True)
class Merged:
    """A file as it is written by a restore, and the names whose values are not known here."""

    content: bytes
    unknown: tuple[str, ...] = ()


Replace = Callable[[Secret], str]
"""What to write in the place of a secret value (or of the password in a URL)."""


def redact(path: str, content: bytes) -> Redacted:
    """The file without its secret values; redacting twice changes nothing more."""
    if _is_key_file(path, content):
        return Redacted(_WHOLE, (Secret("", ""),))
    text = _text(content)
    if text is None:
        return Redacted(content)
    found: list[Secret] = []

    def take(secret: Secret) -> str:
        found.append(secret)
        return PLACEHOLDER

    redacted = _bytes("".join(_rewrite(path, text, take)))
    return Redacted(redacted, tuple(secret for secret in found if secret.value != PLACEHOLDER))


def merge(path: str, stored: bytes, live: bytes | None) -> Merged:
    """The stored file with the secret values of the live one; a name's values are taken in order of appearance."""
    if stored == _WHOLE:
        keep = live is not None and live != _WHOLE
        return Merged(live if keep and live is not None else _WHOLE, () if keep else ("the whole file",))
    text = _text(stored)
    if text is None or PLACEHOLDER not in text:
        return Merged(stored)
    known = _values(path, live)
    unknown: list[str] = []

    def put(secret: Secret) -> str:
        values = known.get(secret)
        if not values:
            if not secret.commented:
                unknown.append(secret.name)
            return PLACEHOLDER
        return values.pop(0) if len(values) > 1 else values[0]

    merged = "".join(_rewrite(path, text, put))
    return Merged(_bytes(_comment_out(merged) if is_env(path) else merged), tuple(unknown))


def _values(path: str, live: bytes | None) -> dict[Secret, list[str]]:
    """What stands in the live file, in order, for each name (two secrets are equal when they stand for the same)."""
    known: dict[Secret, list[str]] = {}
    text = _text(live) if live is not None else None

    def remember(secret: Secret) -> str:
        if secret.value != PLACEHOLDER:
            known.setdefault(secret, []).append(secret.value)
        return PLACEHOLDER

    for _ in _rewrite(path, text or "", remember):
        pass
    return known


def _rewrite(path: str, text: str, replace: Replace) -> Iterator[str]:
    """The file with every secret value replaced."""
    if not is_env(path):
        yield _PAIR.sub(lambda match: _pair(match, replace), text)
        return
    for binding in parse_stream(io.StringIO(text)):
        # a binding is a whole assignment: the value of a quoted one may go over several lines
        original = binding.original.string
        if binding.key is not None and binding.value is not None:
            yield _assignment(original, replace)
        else:
            yield "".join(_comment(line, replace) for line in original.splitlines(keepends=True))


def _comment(line: str, replace: Replace) -> str:
    """A comment may hold an old secret; a line no parser understands may hold one too."""
    if line.startswith(MISSING):
        return _assignment(line.removeprefix(MISSING), replace)
    commented = line.lstrip().startswith("#")
    match = (_COMMENTED if commented else _ASSIGNMENT).match(line)
    if match is None:
        return _ANYWHERE.sub(
            lambda m: m["head"] + _value(m["name"], m["value"], replace, _SECRET, commented=True), line
        )
    return match["head"] + _value(match["name"], match["value"], replace, _SECRET, commented=commented) + match["tail"]


def _assignment(original: str, replace: Replace) -> str:
    # blank and comment lines before an assignment belong to the same binding
    lines = original.splitlines(keepends=True)
    skip = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
    before = "".join(_comment(line, replace) for line in lines[:skip])
    match = _ASSIGNMENT.match("".join(lines[skip:]))
    if match is None:
        return before + "".join(lines[skip:])
    value = _value(match["name"], match["value"], replace, _SECRET)
    return before + match["head"] + value + match["tail"]


def _pair(match: re.Match[str], replace: Replace) -> str:
    name = match["name"] or match["name2"]
    secret = _SECRET if name.isupper() else _SECRET_FIELD  # upper case: a variable in a compose file
    if match["name2"]:
        return str(match["head2"]) + _quoted_value(name, match["value2"], replace, secret)
    return match["head"] + _quoted_value(name, match["value"], replace, secret) + match["tail"]


def _quoted_value(name: str, value: str, replace: Replace, secret: re.Pattern[str]) -> str:
    """Quotes stay, so that a file with a placeholder in it can still be parsed."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[0] + _value(name, value[1:-1], replace, secret) + value[0]
    return _value(name, value, replace, secret)


def _value(name: str, value: str, replace: Replace, secret: re.Pattern[str], *, commented: bool = False) -> str:
    if not value.strip("\"'") or _REFERENCE.match(value):
        return value
    url = _URL_PASSWORD.search(value)
    if url and not _REFERENCE.match(url["password"]):
        password = replace(Secret(name, url["password"], "password", commented))
        return value[: url.start("password")] + password + value[url.end("password") :]
    return replace(Secret(name, value, "value", commented)) if secret.search(name) else value


def _comment_out(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(MISSING + line if PLACEHOLDER in line and not line.startswith("#") else line for line in lines)


def is_env(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".env")


def _is_key_file(path: str, content: bytes) -> bool:
    if content == _WHOLE or path.endswith(_KEY_FILES):
        return True
    return not is_env(path) and _PRIVATE_KEY.search(content.decode(errors="replace")) is not None


def _text(content: bytes) -> str | None:
    """The text of a file, whatever bytes are in it, or ``None`` for a binary file: it is stored as it is."""
    return None if b"\0" in content else content.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
