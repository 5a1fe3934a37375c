"""What the checks of a backup come to, in one word: is it a backup to rely on?

A result that cannot be read is not a result: the backup may be sound or not, so ``latest`` does not choose it, and
whoever asks is told which file is to blame, because only a person can decide that it does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from archon_dagster.repository.verification import CheckRecord, newest_checks

FINISHED = "checks_finished"
"""The record that says whether every check was run: written as failed before a backup is sealed, as passed after."""

State = Literal["passed", "failed", "not_finished", "unreadable", "not_checked"]


@dataclass(frozen=True, slots=True)
class CheckState:
    """The newest result of every check of one backup, summed up.

    :param failed: the names of the checks that failed; :param unreadable: the records that cannot be read.
    """

    state: State
    failed: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def reliable(self) -> bool:
        """Whether ``latest`` may choose the backup: nothing speaks against it."""
        return self.state in ("passed", "not_checked")

    def __str__(self) -> str:
        """In words; what speaks against the backup, where anything does."""
        if self.state == "passed":
            return "every check passed"
        if self.state == "not_checked":
            return "never checked"
        return "; ".join(self._against())

    def _against(self) -> list[str]:
        found = [f"failed check {', '.join(self.failed)}"] if self.failed else []
        if self.state == "not_finished":
            found.append("its checks were not finished")
        return found + [f"its record {key} cannot be read" for key in self.unreadable]


def state_of(checks: Sequence[CheckRecord]) -> CheckState:
    """Sum up the newest results."""
    newest = newest_checks(checks)
    bad = [check for check in newest if not check.passed]
    unreadable = tuple(check.unreadable for check in bad if check.unreadable)
    failed = tuple(check.name for check in bad if not check.unreadable and check.name != FINISHED)
    if failed:
        return CheckState("failed", failed, unreadable)
    if any(check.name == FINISHED and not check.unreadable for check in bad):
        return CheckState("not_finished", (), unreadable)
    if unreadable:
        return CheckState("unreadable", (), unreadable)
    return CheckState("passed" if newest else "not_checked")
