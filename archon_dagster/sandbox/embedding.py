"""A deterministic embedder, so that the sandbox really embeds without a model.

Feature hashing: every token adds a few signed components at places chosen by its hash, and the sum is scaled to unit
length. Texts that share tokens point the same way, the same text always gives the same vector, on every machine.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DIMENSION = 1536
_COMPONENTS = 4  # per token: two tokens rarely share more than one place
_COMMON_WEIGHT = 0.15
_COMMON = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "is", "it", "not", "of", "on", "or"),
        *("that", "the", "this", "to", "with"),
        *("class", "def", "else", "false", "if", "import", "none", "return", "self", "str", "true"),
    }
)
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


def embed(text: str, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """The unit vector of a text; a text without any token gets the vector of the empty token."""
    counts = Counter(tokens(text)) or Counter({"": 1})
    vector = np.zeros(dimension, dtype=np.float64)
    for token, count in counts.items():
        weight = (1.0 + math.log(count)) * (_COMMON_WEIGHT if token in _COMMON else 1.0)
        for place, sign in _components(token):
            vector[place % dimension] += sign * weight
    # fsum is exact, so that the result does not depend on the processor's summation order
    length = math.sqrt(math.fsum(value * value for value in vector[vector.nonzero()].tolist()))
    if length == 0.0:  # two tokens cancelled each other out: practically never, but never a NaN
        return embed("", dimension)
    return (vector / length).astype(np.float32)


def tokens(text: str) -> list[str]:
    """The lower-case words of a text; ``parseHTTPHeader`` and ``parse_http_header`` have the same parts.

    A compound name also counts as a whole, so that the exact name is nearer than its parts.
    """
    found: list[str] = []
    for word in _WORD.findall(text):
        parts = [part.lower() for part in _HUMP.findall(word)]
        found += parts
        if len(parts) > 1:
            found.append(word.lower())
    return found


@lru_cache(maxsize=100_000)
def _components(token: str) -> tuple[tuple[int, float], ...]:
    digest = hashlib.blake2b(token.encode(), digest_size=_COMPONENTS * 4).digest()
    numbers = (int.from_bytes(digest[i : i + 4], "big") for i in range(0, len(digest), 4))
    return tuple((number >> 1, 1.0 if number & 1 else -1.0) for number in numbers)
