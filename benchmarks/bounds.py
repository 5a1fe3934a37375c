"""Why a target is missed: what profiling has shown, with the arithmetic on the figures of the same page.

The rates of the part ``machine`` say what the machine can do at all; the bound of an operation is what it would take
if nothing else were done.
"""

from __future__ import annotations

from benchmarks.repository import OURS
from benchmarks.results import Part, Parts

_NOT_MEASURED = "what bounds it cannot be told before the part `machine` was measured."


def bounds(parts: Parts) -> dict[str, str]:
    """By the topic of the target."""
    nothing = Part({})
    repository, platform = parts.get("repository", nothing), parts.get("platform", nothing)
    found = {"graph load": _graph_load(platform), "memory": _MEMORY, "start": _START}
    if (rates := _Rates.of(parts.get("machine", nothing))) is None:
        return found | dict.fromkeys(_REPOSITORY, _NOT_MEASURED)
    return found | {topic: made(rates, _Row(repository, topic)) for topic, made in _REPOSITORY.items()}


class _Rates:
    """What the machine can do, in bytes a second."""

    def __init__(self, **rates: float):
        self.sha256, self.zstd, self.unpack, self.write = (
            1e6 * rates[name]
            for name in ("sha256_all_cores", "zstd_all_cores", "unpack_all_cores", "write_and_sync_one_file")
        )

    @classmethod
    def of(cls, machine: Part) -> _Rates | None:
        rates = machine.facts.get("mb_per_second")
        return cls(**rates) if rates else None


class _Row:
    """One of the operations, as it was measured."""

    def __init__(self, repository: Part, title: str):
        row = next((row for row in repository.rows if row.title == title), None)
        self.bytes = row.bytes if row else 0
        self.seconds = row.median(OURS) if row else 0.0
        self.added = repository.fact("ingest", "added") or 0.0


def _ingest(rates: _Rates, row: _Row) -> str:
    hashed, packed = 2 * row.bytes / rates.sha256, row.bytes / rates.zstd
    return (
        f"of {row.seconds:.2f} s both cores hash for {hashed:.2f} s (every byte twice: the name of its chunk, the "
        f"digest of its artifact) and compress for up to {packed:.2f} s, while {row.added / 1e6:,.0f} MB are written: "
        f"synced as one file these take {row.added / rates.write:.2f} s. `tar czf` works on one core and falls further "
        "behind with each that is added; restic hashes once, and syncs a file for 16 MB where we sync one for a chunk. "
        "On a disk that is fast at one large file that is the bound: by the profile, the eight threads that write "
        "chunks spend most of their time waiting for `fsync`."
    )


def _unchanged(rates: _Rates, row: _Row) -> str:
    return (
        f"everything is read and hashed twice, {2 * row.bytes / rates.sha256:.2f} s on both cores together. By the "
        "profile that is half of the processor time; a quarter is reading into fresh memory, a sixth is putting pieces "
        "together, the rest handing them from thread to thread. Neither hash can be left out, and not to look at the "
        "bytes would be a guess; restic hashes once."
    )


def _half_percent(_: _Rates, __: _Row) -> str:
    return (
        "what is new is the log of what was upserted and the segment it went into; smaller pieces would add less and "
        "make a million objects of a 100 GB collection."
    )


def _verify(rates: _Rates, row: _Row) -> str:
    least = row.bytes / rates.unpack + 2 * row.bytes / rates.sha256
    return (
        f"every byte is unfolded once and hashed twice, in its chunk and in its artifact: {least:.2f} s on both cores "
        f"together where everything is compressed (a fifth of the data is not), of {row.seconds:.2f} s. `gzip -t` "
        "computes a CRC and no digest; restic hashes once."
    )


def _read_back(rates: _Rates, row: _Row) -> str:
    return (
        f"the disk: what is written is synced, which takes {row.bytes / rates.write:.2f} s of the {row.seconds:.2f} s "
        "for one file of that size, beside the reading, unfolding and hashing. `tar xzf` syncs nothing."
    )


def _graph_load(platform: Part) -> str:
    loaded, removed = (platform.fact("graph_load", f"{name}_per_second") for name in ("loaded", "removed_before"))
    speeds = f" ({loaded:,.0f} records a second; {removed:,.0f} are removed)" if loaded and removed else ""
    return (
        f"the server's own creating of nodes and relationships, one batch after the other{speeds}. Before it the whole "
        "artifact is read and checked, because nothing may be removed for a backup that is damaged."
    )


_MEMORY = "see the sizes in the figures below."
_START = "the slowest service, named in the figures below."
_REPOSITORY = {
    "ingest": _ingest,
    "unchanged, read again": _unchanged,
    "half a percent changed": _half_percent,
    "verify": _verify,
    "read back, verified": _read_back,
}
