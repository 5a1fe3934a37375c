"""Read request bodies as strictly as the real server does, and say what is wrong in its words.

Point ids use the full range of unsigned 64 bits and payload integers may exceed it: integers stay exact where the
engine can hold them and become floating point beyond, as in the real server's JSON parser.
"""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from archon_dagster.sandbox.vectors.errors import FormatError, ValidationError

Json = dict[str, Any]
PointId = int | UUID | str

LARGEST_ID = 2**64 - 1


def parse(raw: bytes) -> Json:
    """The JSON object in a request body."""
    try:
        value = json.loads(raw, parse_int=_integer, parse_constant=_refuse_constant)
        _refuse_lone_surrogates(raw, value)
    except json.JSONDecodeError as error:
        raise FormatError(_decode_message(raw, error)) from error
    except UnicodeError as error:
        raise FormatError("invalid unicode code point at line 1 column 0") from error
    if not isinstance(value, dict):
        raise FormatError(f"invalid type: {type_name(value)}, expected a map at line 1 column {len(raw)}")
    return value


def _decode_message(raw: bytes, error: json.JSONDecodeError) -> str:
    if not raw.strip():
        return "EOF while parsing a value at line 1 column 0"
    if error.pos >= len(error.doc.rstrip()):
        return f"EOF while parsing an object at line {error.lineno} column {error.colno - 1}"
    return f"expected value at line {error.lineno} column {error.colno}"


def _integer(digits: str) -> int | float:
    value = int(digits) if len(digits) < 25 else float(digits)
    return value if -(2**63) <= value <= LARGEST_ID else float(value)


def _refuse_constant(name: str) -> float:
    raise json.JSONDecodeError(f"unexpected {name}", name, 0)


def _refuse_lone_surrogates(raw: bytes, value: object) -> None:
    """Half a character, which Python accepts and the engine cannot store; only an escape can smuggle one in."""
    if b"\\u" in raw:
        json.dumps(value, ensure_ascii=False).encode()


def type_name(value: object) -> str:
    """A value as the real parser names it in its messages."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f"string {json.dumps(value, ensure_ascii=False)}"
        case list():
            return "sequence"
        case _:
            return "map"


def point_id(value: object) -> PointId:
    """A point id: an unsigned 64-bit integer or a UUID, never anything that passed through a float."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_ID:
        return value
    try:
        if isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass  # not a UUID either: told below
    message = f"value {value} is not a valid point ID, valid values are either an unsigned integer or a UUID"
    raise FormatError(message)


def point_ids(values: object) -> list[PointId]:
    return [point_id(value) for value in sequence(values, "point ids")]


def sequence(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise FormatError(f"invalid type: {type_name(value)}, expected a sequence ({what})")
    return value


def mapping(value: object, what: str) -> Json:
    if not isinstance(value, dict):
        raise FormatError(f"invalid type: {type_name(value)}, expected a map ({what})")
    return value


def required(body: Json, field: str) -> Any:
    if field not in body:
        raise FormatError(f"missing field `{field}`")
    return body[field]


def whole_number(body: Json, field: str, default: int, *, at_least: int, schema: str) -> int:
    """A whole number with a smallest allowed value; ``schema`` names the request in the message."""
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"invalid type: {type_name(value)}, expected usize")
    if value < at_least:
        raise ValidationError(f"[{schema}.{field}: value {value} invalid, must be {at_least} or larger]")
    return value


def check_types(values: Json, kinds: dict[str, str], raw_length: int) -> None:
    """Refuse values of the wrong type; ``kinds`` maps a field to ``usize``, ``f64`` or ``a boolean``."""
    for field, expected in kinds.items():
        value = values.get(field)
        if value is None or _is(value, expected):
            continue
        raise FormatError(f"invalid type: {type_name(value)}, expected {expected} at line 1 column {raw_length - 2}")


def _is(value: object, expected: str) -> bool:
    if expected == "a boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) and value >= 0 if expected == "usize" else isinstance(value, int | float)


def known(value: object, allowed: Iterable[str], what: str) -> str:
    """One of a fixed set of words."""
    if not isinstance(value, str) or value not in allowed:
        raise FormatError(f"unknown variant `{value}`, expected one of {', '.join(allowed)} ({what})")
    return value
