"""Backups as an operator reads them: the list, one backup, what a verification found; readable in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.padding import Padding

from archon_dagster.backup.summary import deduplicated, duration_text, size_text
from archon_dagster.cli.output import aligned, console, hanging, one_line, plain, table
from archon_dagster.repository.catalogue import Entry
from archon_dagster.repository.check_state import CheckState, state_of
from archon_dagster.repository.manifest import Manifest
from archon_dagster.repository.verification import CheckRecord, Verification, newest_checks
from archon_dagster.stores.base import STORES, Verdict

_CHECKS = {
    "passed": "[green]passed[/]",
    "failed": "[red]failed[/]",
    "not_finished": "[yellow]not done[/]",
    "unreadable": "[yellow]unknown[/]",
    "not_checked": "[yellow]none[/]",
}
_MOST_DAMAGE = 20  # lines; a backup on a dead disk has a million
_LONGEST_NOTE = 60  # characters of a note in the list


def list_backups(entries: Sequence[Entry], where: str, now: datetime, *, safety: bool) -> None:
    """The list, two lines a backup; safety backups are counted, and shown where they are asked for.

    :param now: in the time zone that times are shown in.
    """
    shown = [entry for entry in entries if safety or entry.summary is None or entry.summary.kind != "safety"]
    hidden = len(entries) - len(shown)
    count = f"{len(shown)} backup{'' if len(shown) == 1 else 's'}"
    console.print(f"[bold]{count} in {plain(where)}[/]; times are {now:%Z}", highlight=False)
    lines = aligned(
        ("backup", "taken", "kind", "size", "added", "checks"),
        [_row(entry, now) for entry in shown],
        right=("size", "added"),
    )
    for line, entry in zip(lines, (None, *shown), strict=False):
        console.print(line, style="dim" if entry is None else None, highlight=False)
        if entry is not None:
            console.print(Padding(_below(entry), (0, 0, 0, 2)), highlight=False)
    if hidden:
        what = "1 safety backup, taken before a restore, is" if hidden == 1 else f"{hidden} safety backups are"
        console.print(f"{what} not shown: archon backups --safety", highlight=False)


def _row(entry: Entry, now: datetime) -> tuple[str, ...]:
    taken = day_text(entry.created, now)
    if entry.summary is None:
        colour = "cyan" if entry.state == "running" else "red"
        return entry.id, taken, f"[{colour}]{entry.state}[/]", "·", "·", "·"
    summary = entry.summary
    checks = _CHECKS[entry.checks.state] if entry.checks else "·"
    return entry.id, taken, summary.kind, size_text(summary.bytes_read), size_text(summary.bytes_added), checks


def _below(entry: Entry) -> str:
    """What does not fit into a column: the stores, the note, what is wrong."""
    if entry.summary is None:
        return f"[dim]{plain(entry.detail)}[/]"
    parts = [f"[dim]{stores_text(entry.summary.stores)}[/]"]
    if entry.summary.note:
        parts.append(f"[dim]note:[/] {plain(one_line(entry.summary.note, _LONGEST_NOTE))}")
    if entry.checks is not None and not entry.checks.reliable:
        parts.append(f"[red]{plain(str(entry.checks))}[/]")
    return "; ".join(parts)


def stores_text(stores: Sequence[str]) -> str:
    """Which stores, in words."""
    return "all stores" if set(stores) >= set(STORES) else ", ".join(stores) or "no store"


def day_text(then: datetime, now: datetime) -> str:
    """When, as short as it is clear: ``today 04:00``, ``yesterday 04:00``, ``3 Nov 04:00``, ``3 Nov 2025``."""
    local = then.astimezone(now.tzinfo)
    days = (now.date() - local.date()).days
    if days in (0, 1):
        return f"{'yesterday' if days else 'today'} {local:%H:%M}"
    return f"{local.day} {local:%b %H:%M}" if local.year == now.year else f"{local.day} {local:%b %Y}"


def show_backup(manifest: Manifest, records: Sequence[CheckRecord], now: datetime) -> None:
    """One backup: when, what, how consistent, its artifacts, its checks, what is not in it."""
    console.print(f"[bold]backup {manifest.id}[/]", highlight=False)
    checks = newest_checks(records)
    console.print(hanging(_facts(manifest, _summed_up(state_of(records), len(checks)), now)))
    console.print()
    console.print(_artifacts(manifest))
    console.print()
    console.print(hanging([(_mark(check), f"{check.name}: {plain(check.detail)}") for check in checks]))
    console.print(hanging([("[yellow]not covered[/]", plain(what)) for what in manifest.not_covered]))


def _summed_up(state: CheckState, count: int) -> str:
    """What the checks come to; the number is that of the lines below."""
    if state.state == "passed":
        return f"{state} ({count})"
    return str(state) if state.reliable else f"[red]{plain(str(state))}: `latest` does not choose it[/]"


def _mark(check: CheckRecord) -> str:
    return "[green]passed[/]" if check.passed else "[yellow]unknown[/]" if check.unreadable else "[red]failed[/]"


def _facts(manifest: Manifest, checks: str, now: datetime) -> list[tuple[str, str]]:
    local = manifest.created.astimezone(now.tzinfo)
    age = duration_text(max(0.0, (now - manifest.created).total_seconds()))
    return [
        ("taken", f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S %Z} ({age} ago) on {plain(manifest.host)}"),
        ("kind", manifest.kind),
        ("note", plain(one_line(manifest.note)) or "none"),
        ("stores", stores_text(manifest.stores)),
        ("consistency", plain(consistency_text(manifest))),
        (
            "size",
            f"{size_text(manifest.bytes_read)} captured in {duration_text(manifest.duration)}, "
            f"{size_text(manifest.bytes_added)} of it new ({deduplicated(manifest):.0%} saved)",
        ),
        ("after", manifest.parent or "no other: the first of this repository"),
        ("checks", checks),
    ]


def consistency_text(manifest: Manifest) -> str:
    """Whether the stores are of one instant, and how that was made sure of."""
    window = manifest.window
    seconds = duration_text((window.end - window.start).total_seconds())
    if not window.consistent:
        return f"not one instant, the stores were captured within {seconds}" + (
            f": {window.note}" if window.note else ""
        )
    if window.paused:
        return f"one instant: {', '.join(window.paused)} held still for {seconds}"
    return "one instant" + (f": {window.note}" if window.note else "")


def _artifacts(manifest: Manifest) -> RenderableType:
    rows = [
        (
            plain(artifact.name),
            _records(artifact.counts),
            size_text(artifact.size),
            f"{len(artifact.chunks):,}",
            artifact.fingerprint.digest[:12] if artifact.fingerprint else "·",
        )
        for artifact in manifest.artifacts
    ]
    columns = ("artifact", "records", "size", "chunks", "fingerprint")
    return table("", columns, rows, right=("size", "chunks"), keep=("size", "chunks", "fingerprint"))


def _records(counts: Mapping[str, int]) -> str:
    """What was counted: beside each other while it fits, else below each other like a list."""
    parts = [f"{plain(part)} {count:,}" for part, count in counts.items()]
    return ("\n" if len(parts) > 2 else ", ").join(parts) or "·"


def show_verification(manifest: Manifest, digests: Verification, verdicts: Sequence[Verdict]) -> None:
    """What is damaged, artifact by artifact; what is well, and how that is known."""
    bad = digests.damaged_artifacts()
    answers = {verdict.artifact: verdict for verdict in verdicts}
    rows = []
    for name, chunks in ({artifact.name: len(artifact.chunks) for artifact in manifest.artifacts}).items():
        verdict = answers.pop(name, None)
        if name in bad:
            rows.append((plain(name), "[red]damaged[/]", _places(bad[name], chunks)))
        elif verdict is None:
            rows.append((plain(name), "as written", "its digests are right; its engine was not asked"))
        else:
            rows.append(_verdict_row(verdict))
    rows += [_verdict_row(verdict) for verdict in answers.values()]  # of what should be in the backup and is not
    console.print(table(f"backup {manifest.id}", ("artifact", "state", ""), rows, keep=("state",)))
    lines = [plain(str(damage)) for damage in digests.damage[:_MOST_DAMAGE]]
    lines += [f"and {len(digests.damage) - _MOST_DAMAGE:,} more places"] if len(digests.damage) > _MOST_DAMAGE else []
    console.print(hanging([("[red]damaged[/]", line) for line in lines]))
    console.print(f"{digests.chunks:,} chunks read back, {size_text(digests.bytes_read)}", highlight=False)


def _verdict_row(verdict: Verdict) -> tuple[str, str, str]:
    colour = {"verified": "green", "damaged": "red"}.get(verdict.state, "yellow")
    return plain(verdict.artifact), f"[{colour}]{verdict.state}[/]", plain(verdict.detail)


def _places(damaged: int, chunks: int) -> str:
    return f"{damaged:,} of {chunks:,} {'chunk' if chunks == 1 else 'chunks'}; see below"
