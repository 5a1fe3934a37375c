"""Take secrets out of text: those of the settings wherever they stand, and whatever looks like one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dotenv import dotenv_values
from pydantic import SecretStr

from archon_dagster.platform.settings import Settings

HIDDEN = "***"
# every repetition has an end: these expressions meet whole logs, and must not take minutes over one long line
_SHORTEST = 6  # letters; a shorter value would be found everywhere
_NAMED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[-_]?key|service_key|authorization|credential)[\w-]{0,40}[\"']?"
    r"\s{0,4}[:=]\s{0,4}[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',;&}]+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_LOGIN = re.compile(r"(://[^/\s:@]{0,200}:)[^/\s@]{1,500}(@)")
_JWT = re.compile(r"\beyJ[\w-]{5,4000}\.[\w-]{5,4000}\.[\w-]*")
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|key|credential|dsn")


@dataclass(frozen=True, slots=True)
class Mask:
    """Masks text. :param secrets: values that are known, longest first."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Mask:
        """With the secrets of these settings, and of the platform's own ``.env``."""
        values = [getattr(settings, name) for name in type(settings).model_fields]
        known = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
        file = settings.project_dir / ".env"
        if file.is_file():
            found = dotenv_values(file)
            known |= {value for name, value in found.items() if value and _SECRET_NAME.search(name)}
        return cls(tuple(sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        text = _LOGIN.sub(rf"\1{HIDDEN}\2", text)
        text = _NAMED.sub(rf"\1{HIDDEN}", text)
        text = _BEARER.sub(rf"\1 {HIDDEN}", text)
        return _JWT.sub(HIDDEN, text)
