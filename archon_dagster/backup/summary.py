"""What a backup looks like to an operator: numbers that plot themselves over time, and a readable page.

Plain values only; the Dagster shell and the command line both show them.
"""

from __future__ import annotations

from collections.abc import Sequence

from archon_dagster.backup.backup import BackupResult
from archon_dagster.repository.check_state import CheckState, state_of
from archon_dagster.repository.manifest import Artifact, Manifest
from archon_dagster.repository.verification import CheckRecord


def size_text(size: float) -> str:
    """Bytes for people, in powers of 1000: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration_text(seconds: float) -> str:
    """Seconds for people: ``0.42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def deduplicated(manifest: Manifest) -> float:
    """Share of the bytes read that were in the repository already, 0 to 1."""
    return 1 - min(1.0, manifest.bytes_added / manifest.bytes_read) if manifest.bytes_read else 0.0


def store_numbers(result: BackupResult, store: str) -> dict[str, int | float | str]:
    """One store's part of a backup, as metadata."""
    artifacts = result.manifest.of_store(store)
    numbers: dict[str, int | float | str] = {
        "backup": result.manifest.id,
        "server": result.manifest.versions.get(store, ""),
        "size (bytes)": sum(artifact.size for artifact in artifacts),
        "chunks": sum(len(artifact.chunks) for artifact in artifacts),
        "duration (s)": round(result.seconds.get(f"export {store}", 0.0), 3),
        **{f"{part} (s)": round(seconds, 3) for part, seconds in result.parts.get(store, {}).items()},
    }
    for artifact in artifacts:
        numbers |= artifact.counts
    fingerprint = result.manifest.fingerprint(store)
    if fingerprint is not None:
        numbers["fingerprint"] = fingerprint.digest
    return numbers


def backup_numbers(manifest: Manifest, checks: Sequence[CheckRecord]) -> dict[str, int | float | str]:
    """The whole backup, as metadata."""
    return {
        "backup": manifest.id,
        "kind": manifest.kind,
        "checks": str(state_of(checks)),
        **({"note": manifest.note} if manifest.note else {}),
        "size (bytes)": manifest.bytes_read,
        "added (bytes)": manifest.bytes_added,
        "deduplicated (share)": round(deduplicated(manifest), 4),
        "artifacts": len(manifest.artifacts),
        "chunks": sum(len(artifact.chunks) for artifact in manifest.artifacts),
        "duration (s)": round(manifest.duration, 3),
        "writers paused (s)": round((manifest.window.end - manifest.window.start).total_seconds(), 3)
        if manifest.window.paused
        else 0.0,
        "one instant": "yes" if manifest.window.consistent else f"no: {manifest.window.note}",
    }


def page(manifest: Manifest, checks: Sequence[CheckRecord]) -> str:
    """The backup on one Markdown page: contents, checks, what is not in it, and how to restore it."""
    window, state = manifest.window, state_of(checks)
    paused = f"writers held still: {', '.join(window.paused)}" if window.paused else ""
    held = "; ".join(part for part in (paused, window.note) if part)
    lines = [
        f"### Backup `{manifest.id}`",
        *([] if state.reliable else [f"**Not to be relied on: {_cell(str(state))}.**", ""]),
        f"{size_text(manifest.bytes_read)} captured, {size_text(manifest.bytes_added)} new, "
        f"{duration_text(manifest.duration)}; "
        f"{'consistent' if window.consistent else 'not one consistent instant'} ({held})",
        *(["", f"Note: {_cell(manifest.note)}"] if manifest.note else []),
        "",
        "| artifact | records | size | fingerprint |",
        "|---|---|---|---|",
        *(_row(artifact) for artifact in manifest.artifacts),
        "",
        "| check | result | |",
        "|---|---|---|",
        *(f"| {check.name} | {_mark(check)} | {_cell(check.detail)} |" for check in checks),
        "",
    ]
    lines += [f"- not covered: {_cell(what)}" for what in manifest.not_covered]
    return "\n".join([*lines, "", *_how_to_restore(manifest, state)])


def _how_to_restore(manifest: Manifest, state: CheckState) -> list[str]:
    command = ["```", f"archon restore {manifest.id} --confirm RESTORE", "```"]
    if state.reliable:
        return [f"Restore it: job `restore` with `selector: {manifest.id}`, or", *command]
    return [
        f"**Warning: {_cell(str(state))}.** Restoring this backup puts back what the check complains about. Only if "
        f"that is what you want: job `restore` with `selector: {manifest.id}`, or",
        *command,
        "The newest backup that passed every check is `selector: latest`.",
    ]


def _row(artifact: Artifact) -> str:
    counts = ", ".join(f"{part} {count:,}" for part, count in artifact.counts.items()) or "·"
    digest = f"`{artifact.fingerprint.digest[:12]}`" if artifact.fingerprint else "·"
    return f"| {_cell(artifact.name)} | {_cell(counts)} | {size_text(artifact.size)} | {digest} |"


def _mark(check: CheckRecord) -> str:
    return "passed" if check.passed else "**unknown**" if check.unreadable else "**failed**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
