"""The values in a dump, as the values of a graph export (:mod:`archon_dagster.stores.graph.values`).

Recursive descent over the text of one statement. It reads what Memgraph prints, which is more than Memgraph itself
reads: ``1e+17``, ``inf``, ``-nan``, the smallest integer, a raw NUL, enum values without quotes.

::

    value    = string | number | "true" | "false" | "Null" | list | map | call | enum
    list     = "[" [ value { "," value } ] "]"
    map      = "{" [ name ":" value { "," name ":" value } ] "}"
    call     = ("DATE" | "LOCALTIME" | "LOCALDATETIME" | "DATETIME" | "DURATION") "(" string ")" | "POINT" "(" map ")"
    enum     = any text "::" any text, up to "," or "]" or "}"
"""

from __future__ import annotations

import math
import re
from typing import NoReturn

from archon_dagster.stores.graph.dump.calls import CALLS
from archon_dagster.stores.graph.dump.model import NotUnderstood
from archon_dagster.stores.graph.values import Json

DEEPEST = 200  # lists and maps inside each other; Memgraph's own parser ends long before

_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)"|' r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d++(?P<fraction>\.\d*+)?(?P<exponent>[eE][+-]?\d++)?|(?P<special>inf|nan)\b(?!\s*+::))")
_NAME = re.compile(r"`((?:[^`]++|``)*+)`|([^\W\d]\w*+)")
_WORD = re.compile(r"([^\W\d]\w*+)\s*+(\(|::)?")
_ENUM = re.compile(r"[^,\]}]++(?=\s*+[,\]}])")
_COLON = re.compile(r"\s*+:\s*+")
_NEXT = re.compile(r"\s*+([,\]})])\s*+")
_BLANK = re.compile(r"\s*+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPED = {"\\": "\\", "'": "'", '"': '"', "`": "`", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}
_INT64 = range(-(2**63), 2**63)


class Literals:
    """Reads names and values from one statement's text; ``place`` is how far it has come.

    :param enums: ``Name::Value`` of every enum the dump has made: what has commas or brackets in it is told by them.
    """

    __slots__ = ("_enums", "place", "text")

    def __init__(self, text: str, place: int = 0, enums: frozenset[str] = frozenset()):
        self.text, self.place, self._enums = text, place, enums

    def skip(self) -> str:
        """Pass over blanks; the next character, ``""`` at the end."""
        self.place = _BLANK.match(self.text, self.place).end()  # type: ignore[union-attr]
        return self.text[self.place : self.place + 1]

    def fail(self, what: str) -> NoReturn:
        found = self.text[self.place : self.place + 20]
        raise NotUnderstood(f"{what} expected, found {found!r}" if found else f"{what} expected, it ends there")

    def name(self) -> str:
        """A label, type, property, … name, with or without backticks."""
        found = _NAME.match(self.text, self.place)
        if found is None:
            self.fail("a name")
        self.place = found.end()
        return found[2] if found[1] is None else found[1].replace("``", "`")

    def names(self, separator: str) -> list[str]:
        """``separator name`` as often as it comes."""
        found: list[str] = []
        while self.skip() == separator:
            self.place += 1
            self.skip()
            found.append(self.name())
        return found

    def value(self, depth: int = 0) -> Json:
        """One value, blanks before it passed already."""
        first = self.text[self.place : self.place + 1]
        if first == '"' or first == "'":
            return self.string()
        if first == "[":
            return self._list(depth + 1)
        if first == "{":
            return {"map": self.entries(depth + 1)}
        if (number := _NUMBER.match(self.text, self.place)) is not None:
            self.place = number.end()
            return _number(number)
        return self._word(depth)

    def string(self) -> str:
        found = _STRING.match(self.text, self.place)
        if found is None:
            self.fail("a string")
        self.place = found.end()
        text: str = found[found.lastindex or 1]
        return unescaped(text) if "\\" in text else text

    def entries(self, depth: int = 0) -> dict[str, Json]:
        """The entries of a map, braces included."""
        if self.text[self.place : self.place + 1] != "{":
            self.fail("'{'")
        self._deeper(depth)
        if self.skip() == "}":
            self.place += 1
            return {}
        return self.rest_of_entries(depth)

    def rest_of_entries(self, depth: int = 0) -> dict[str, Json]:
        """As :meth:`entries`, where the brace and maybe some entries were read already."""
        found: dict[str, Json] = {}
        while True:
            name = self.name()
            if (colon := _COLON.match(self.text, self.place)) is None:
                self.fail("':'")
            self.place = colon.end()
            if name in found:
                raise NotUnderstood(f"{name!r} occurs twice")
            found[name] = self.value(depth)
            if self._next("}"):
                return found

    def _list(self, depth: int) -> list[Json]:
        self._deeper(depth)
        found: list[Json] = []
        if self.skip() == "]":
            self.place += 1
            return found
        while True:
            found.append(self.value(depth))
            if self._next("]"):
                return found

    def _deeper(self, depth: int) -> None:
        if depth > DEEPEST:
            raise NotUnderstood(f"lists and maps are nested more than {DEEPEST} deep")
        self.place += 1

    def _next(self, end: str) -> bool:
        """Pass over a comma or the end; whether it was the end."""
        found = _NEXT.match(self.text, self.place)
        if found is None or found[1] not in (end, ","):
            self.fail(f"',' or '{end}'")
        self.place = found.end() if found[1] == "," else found.end(1)
        return found[1] == end

    def _word(self, depth: int) -> Json:
        found = _WORD.match(self.text, self.place)
        if found is not None and found[2] == "(":
            self.place = found.end()
            return self._call(found[1].upper(), depth)
        if found is not None and found[2] is None and (word := found[1].lower()) in _WORDS:
            self.place = found.end(1)
            return _WORDS[word]
        return self._enum()

    def _call(self, function: str, depth: int) -> Json:
        reader = CALLS.get(function)
        if reader is None:
            raise NotUnderstood(f"unknown function {function}")
        self.skip()
        argument = self.entries(depth + 1) if function == "POINT" else self.string()
        if self.skip() != ")":
            self.fail("')'")
        self.place += 1
        return reader(argument)

    def _enum(self) -> Json:
        """The longest of the enums the dump has made that stands here, else whatever there is up to a comma."""
        known = [name for name in self._enums if self.text.startswith(name, self.place)]
        for name in sorted(known, key=len, reverse=True):
            if _NEXT.match(self.text, self.place + len(name)):
                self.place += len(name)
                return {"enum": name}
        found = _ENUM.match(self.text, self.place)
        if found is None or "::" not in found[0]:
            self.fail("a value")
        self.place = found.end()
        kind, _, value = found[0].strip().partition("::")
        return {"enum": f"{_bare(kind)}::{_bare(value)}"}


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if len(name) > 1 and name[0] == name[-1] == "`" else name


def unescaped(text: str) -> str:
    """The text between two quotes without its escapes."""
    plain = _ESCAPE.sub(_character, text)
    if re.search("[\ud800-\udfff]", plain):
        try:
            return plain.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError as error:
            raise NotUnderstood("half of a \\u pair stands alone") from error
    return plain


def _character(found: re.Match[str]) -> str:
    code: str = found[1]
    if len(code) > 1:
        number = int(code[1:], 16)
        if number > 0x10FFFF:
            raise NotUnderstood(f"no character has the number {code[1:]}")
        return chr(number)
    if code not in _ESCAPED:
        raise NotUnderstood(f"unknown escape \\{code}")
    return _ESCAPED[code]


def _number(found: re.Match[str]) -> Json:
    text: str = found[0]
    if found["special"]:
        return {"float": "nan" if text.endswith("nan") else text}
    if found["fraction"] or found["exponent"] or text == "-0":  # no integer is printed as -0
        if math.isinf(number := float(text)):
            raise NotUnderstood(f"{text} does not fit a double")
        return {"float": number.hex()}
    if len(text) > 18 and int(text) not in _INT64:
        raise NotUnderstood(f"{text} does not fit 64 bits")
    return {"int": text}
