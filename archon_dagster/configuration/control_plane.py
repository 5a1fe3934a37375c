"""What the control plane itself would say to the variables it reads: its settings are the judges, nothing is repeated.

Every field and every validator of the settings is asked, all variables of a file at once. Nothing of this process's
environment counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from archon_dagster.platform.settings import Settings
from archon_dagster.platform.usable_settings import GivenSettings
from archon_dagster.repository.backends.s3.settings import S3Settings

_LONGEST = 200  # characters of what a validator says: it may repeat the value
_OF_VALIDATOR = "Value error, "


class _GivenS3Settings(S3Settings):
    """From what it is given alone."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _fields(model: type[BaseSettings]) -> dict[str, FieldInfo]:
    """The settings by the names of their variables."""
    found: dict[str, FieldInfo] = {}
    for field in model.model_fields.values():
        names = getattr(field.validation_alias, "choices", [field.alias])
        found.update({str(name): field for name in names})
    return found


_MODELS: tuple[tuple[type[BaseSettings], dict[str, FieldInfo]], ...] = (
    (GivenSettings, _fields(Settings)), (_GivenS3Settings, _fields(S3Settings)),
)  # fmt: skip

FIELDS: dict[str, FieldInfo] = {name: field for _, fields in _MODELS for name, field in fields.items()}
"""Every setting by the name of its variable; the settings read one in capitals and in small letters."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the settings do not take.

    :param variable: in capitals; empty where it is about several together.
    :param elsewhere: it is good if another part is set where nobody looks here: as a secret in a file.
    """

    variable: str
    text: str
    elsewhere: bool = False


def refusals(values: Mapping[str, str]) -> Iterator[Refusal]:
    """What the settings say to these variables; an empty one counts as not set."""
    for model, fields in _MODELS:
        given = {name.upper(): value for name, value in values.items() if value and name.upper() in fields}
        if not given:
            continue
        found, decoded = _decoded(fields, given)
        found += _said(model, decoded)
        yield from found
        if any(one.variable for one in found):  # what is wrong of several together is only said when each is good
            refused = {one.variable for one in found}
            rest = {name: value for name, value in decoded.items() if name not in refused}
            yield from (one for one in _said(model, rest) if not one.variable)


def _decoded(fields: Mapping[str, FieldInfo], given: Mapping[str, str]) -> tuple[list[Refusal], dict[str, Any]]:
    """Lists and tables are written as JSON."""
    refused, decoded = list[Refusal](), dict[str, Any]()
    for name, value in given.items():
        try:
            decoded[name] = json.loads(value) if get_origin(fields[name].annotation) in (dict, list, tuple) else value
        except RecursionError:
            refused.append(Refusal(name, "it is nested too deeply"))
        except ValueError:
            refused.append(Refusal(name, "it is not JSON"))
    return refused, decoded


def _said(model: type[BaseSettings], values: Mapping[str, Any]) -> list[Refusal]:
    try:
        model(**values)
    except ValidationError as error:
        return [
            Refusal(
                str(one["loc"][0]) if one["loc"] else "",
                one["msg"].removeprefix(_OF_VALIDATOR)[:_LONGEST],
                not one["loc"] and model is _GivenS3Settings,
            )
            for one in error.errors(include_input=False, include_url=False)
        ]
    return []
