"""Vectors as JSON text, made by the block.

Formatting 1536 floats one by one takes longer than anything else a point needs. So every number has four decimals, is
chosen from a table of all of them, and takes eight bytes with its comma: a vector is one look-up of 64-bit words.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

BLOCK = 256  # vectors that are made together
_CLUSTERS = 64
_SCALE = 10_000  # four decimals
_TABLE = np.frombuffer(
    "".join(f"{value / _SCALE:7.4f}," for value in range(-_SCALE + 1, _SCALE)).encode(), dtype=np.uint64
)


def block(salt: int, number: int, dimension: int) -> list[bytes]:
    """Block ``number`` of a collection: the numbers of :data:`BLOCK` vectors, without brackets."""
    centres = _centres(salt, dimension)
    raw = _bits(salt, number, BLOCK * dimension)
    noise = raw.view(np.int16)[: BLOCK * dimension].reshape(BLOCK, dimension) >> 3
    cluster = raw[:BLOCK] % _CLUSTERS
    text = _TABLE[centres[cluster] + noise + (_SCALE - 1)].tobytes()
    width = 8 * dimension
    return [text[start : start + width - 1] for start in range(0, BLOCK * width, width)]


@lru_cache(maxsize=16)
def _centres(salt: int, dimension: int) -> npt.NDArray[np.int32]:
    """Embeddings lie in clusters; evenly spread vectors would be the worst case of every index."""
    raw = _bits(salt, 2**32, _CLUSTERS * dimension).view(np.int16)[: _CLUSTERS * dimension]
    return (raw.astype(np.int32) * 5000 // 2**15).reshape(_CLUSTERS, dimension)


def _bits(salt: int, number: int, count: int) -> npt.NDArray[np.uint64]:
    """Random bits for ``count`` 16-bit numbers; a raw bit stream, because distributions may change with numpy."""
    stream = np.random.Philox(key=np.array([salt, number], dtype=np.uint64))
    return np.asarray(stream.random_raw(max(BLOCK, count // 4 + 1)), dtype="<u8").view(np.uint64)
