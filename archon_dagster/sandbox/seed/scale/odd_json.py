"""What naive code breaks, as far as JSON can say it; one list, used for payloads and for ``jsonb``."""

from __future__ import annotations

from typing import Any

Oddity = tuple[str, Any]

TEXTS: tuple[tuple[str, str], ...] = (
    ("astral characters", "𝒜𝓇𝒸𝒽𝑜𝓃 𐍈 🜁"),
    ("combining characters", "e\u0301 is not \u00e9; Z͑ͫ̓a̴̵l̶g̷o"),
    ("right-to-left text", "שלום \u202eabc\u202c مرحبا"),
    ("emoji", "👩‍👩‍👧‍👦 🏳️‍🌈 🇦🇹 👍🏽"),
    ("control characters", "".join(map(chr, range(1, 32))) + "\x7f\x85\u2028\u2029\ufeff\ufffe"),
    ("NUL", "before\x00after"),
    ("quotes and backslashes", "'\"`\\ \\\\ \\n \\. ''\"\" $$ {} \\N"),
    ("line ends and tabs", "one\ntwo\r\nthree\rfour\t\tfive\n"),
    ("empty text", ""),
    ("blank text", " \t "),
    ("text that looks like something else", "null"),
)
LARGE = 100_000  # bytes


def deep(levels: int) -> Any:
    """Maps and lists inside each other."""
    value: Any = {"end": [None, {}]}
    for level in range(levels):
        value = {f"level {level}": [value, level]}
    return value


def large_text(size: int = LARGE) -> str:
    return ("Größe — 大きい. " * (size // 16))[:size]


VALUES: tuple[Oddity, ...] = (
    *TEXTS,
    ("floats that look like integers", [1.0, 0.0, -3.0, 1e15, 100000.0]),
    ("extreme floats", [1e308, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1e17, 0.1, 1e-7]),
    ("negative zero", -0.0),
    ("limits of 64 bits", [2**63 - 1, -(2**63), 2**53 + 1]),
    ("unsigned 64 bits", 2**64 - 1),
    ("null", None),
    ("nulls in a list", [None, 1, None]),
    ("empty list", []),
    ("empty map", {}),
    ("list of lists", [[1, 2], [], [[3]]]),
    ("list of mixed types", [1, 1.0, "1", True, None, {"a": 1}]),
    ("booleans", [True, False]),
    ("awkward keys", {"": 1, "with space": 2, 'quo"te': 3, "back\\slash": 4, "a.b[0]": 5, "ключ": 6, "\n": 7}),
    ("deep nesting", deep(24)),
    ("many keys", {f"key {number}": number for number in range(300)}),
    ("100 kB of text", large_text()),
)
