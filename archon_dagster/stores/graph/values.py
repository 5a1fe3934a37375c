"""Property values as JSON, exactly: what is decoded is what was encoded, type and all.

JSON knows neither integers beyond 2^53, nor NaN, nor dates; a graph does. Text and booleans stand for themselves, a
list is a list; everything else is an object with one key that names the type, so nothing is ambiguous:

==============================================  ==========================================================
``{"int": "42"}``                               64-bit integer
``{"float": "0x1.8p+0"}``                       double in hexadecimal; also ``nan``, ``inf``, ``-inf``
``{"bytes": "AP8="}``                           base64
``{"map": {…}}``                                a map; its values are encoded in turn
``{"enum": "Status::Good"}``                    a Memgraph enum value (over Bolt: a map that says so)
``{"Date": "2024-02-29"}``
``{"LocalTime": "23:59:59.999999000"}``         nine digits of a second, always
``{"Time": "12:00:00.000000000+01:00"}``
``{"LocalDateTime": "2024-02-29T23:59:59.…"}``
``{"DateTime": "2024-10-27T02:30:00.…+02:00[Europe/Vienna]"}``  the offset decides the doubled autumn hour
``{"Duration": [months, days, seconds, ns]}``   decimal strings
``{"Point": [srid, "0x…", "0x…"]}``             two or three coordinates
==============================================  ==========================================================

Two things are not kept because the driver does not show them: the payload bits of a NaN, and whether a zone of offset
zero was called ``UTC`` or only had that offset: both are written as ``[UTC]``. (No loss on Memgraph, where a zone
called ``UTC`` becomes ``Etc/UTC``: there it always is the bare offset, and is sent as such: ``Dialect.outgoing``.)
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from archon_dagster.stores.graph.special_values import SPECIAL_DECODERS, Json, UnsupportedValue, encode_special

__all__ = ["Json", "UnsupportedValue", "decode", "decode_properties", "encode", "encode_properties", "leaves", "weight"]

_ENUM_KEYS = {"__type", "__value"}
_INT64 = range(-(2**63), 2**63)


def encode(value: Any) -> Json:
    """The JSON form of one property value as the driver hands it out."""
    encoder = _BUILTIN.get(type(value))
    return encoder(value) if encoder is not None else encode_special(value)


def encode_properties(properties: dict[str, Any]) -> dict[str, Json]:
    """The JSON form of a node's or relationship's properties."""
    return {key: encode(value) for key, value in properties.items()}


def decode(value: Json) -> Any:
    """The inverse of :func:`encode`."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        raise UnsupportedValue(f"not an encoded property value: {value!r:.100}")
    ((tag, content),) = value.items()
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise UnsupportedValue(f"unknown value type {tag!r}; a newer version may read it")
    try:
        return decoder(content)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise UnsupportedValue(f"malformed {tag}: {content!r:.100}") from error


def decode_properties(properties: dict[str, Json]) -> dict[str, Any]:
    """The inverse of :func:`encode_properties`."""
    return {key: decode(value) for key, value in properties.items()}


def leaves(value: Json) -> Iterator[tuple[str, Any]]:
    """Every value inside an encoded one, itself included, as type name and content.

    Type names are the tags, and ``str``, ``bool``, ``null``, ``list`` where there is none.
    """
    if isinstance(value, list):
        yield "list", value
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        ((tag, content),) = value.items()
        yield tag, content
        if tag == "map":
            for item in content.values():
                yield from leaves(item)
    else:
        yield "null" if value is None else type(value).__name__, value


# builtins ------------------------------------------------------------------------------------------------------


def _same(value: Any) -> Json:
    return value


def _encode_int(value: int) -> Json:
    if value not in _INT64:
        raise UnsupportedValue(f"integer {value} does not fit 64 bits")
    return {"int": str(value)}


def _encode_map(value: dict[str, Any]) -> Json:
    if value.keys() == _ENUM_KEYS and value["__type"] == "mg_enum" and type(value["__value"]) is str:
        return {"enum": value["__value"]}
    return {"map": {key: encode(item) for key, item in value.items()}}


_BUILTIN: dict[type, Callable[[Any], Json]] = {
    type(None): _same,
    bool: _same,
    str: _same,
    int: _encode_int,
    float: lambda value: {"float": value.hex()},
    list: lambda value: [encode(item) for item in value],
    dict: _encode_map,
    bytes: lambda value: {"bytes": base64.b64encode(value).decode()},
    bytearray: lambda value: {"bytes": base64.b64encode(value).decode()},
}


def _decode_int(text: str) -> int:
    if type(text) is not str:
        raise ValueError("not text")
    number = int(text)
    if number not in _INT64:
        raise ValueError("does not fit 64 bits")
    return number


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "int": _decode_int,
    "float": float.fromhex,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "map": lambda content: {key: decode(item) for key, item in content.items()},
    "enum": lambda name: {"__type": "mg_enum", "__value": name},
    **SPECIAL_DECODERS,
}


def weight(value: Any) -> int:
    """About how many bytes a value took on its way here."""
    if isinstance(value, str | bytes):
        return len(value) + 3
    if isinstance(value, dict):
        return sum(len(key) + 3 + weight(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return 3 + sum(map(weight, value))
    return 9
