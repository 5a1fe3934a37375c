"""What a whole start came to: services, externals, counts, the end-to-end test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from archon_dagster.errors import ServiceError
from archon_dagster.startup.counts import Comparison, raise_for_loss
from archon_dagster.startup.externals import External
from archon_dagster.startup.result import Started

NOTHING_TO_DO = "everything runs and is ready, nothing was touched"


@dataclass(frozen=True, slots=True)
class Tested:
    """The end-to-end test: ``None`` where it was not made, with the reason."""

    passed: bool | None
    detail: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """One start of the platform.

    :param seconds: of everything; :param warnings: what an operator should know and what has not failed.
    """

    started: Started
    externals: tuple[External, ...] = ()
    compared: Comparison = field(default_factory=Comparison)
    tested: Tested = field(default=Tested(None, "not tested"))
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    kind: Literal["start", "cold start"] = "start"

    @property
    def untouched(self) -> bool:
        """Everything was ready already."""
        return not self.started.touched and not self.started.missing and not self.started.degraded

    @property
    def good(self) -> bool:
        """Nothing essential is missing: every service, every store's data, and the platform does its work."""
        return not (self.started.missing or self.compared.losses or self.tested.passed is False)

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if not self.good:
            return f"the {self.kind} did not succeed"
        if self.untouched:
            return NOTHING_TO_DO
        without = ", ".join(one.service for one in self.started.degraded)
        return f"the platform is up{f', without {without}' if without else ''}"

    def raise_for_failure(self) -> None:
        """The first of: a service that is missing, data that are missing, work that is not done."""
        bad = [external.line for external in self.externals if external.state == "bad"]
        self.started.raise_for_failure(also=bad)
        raise_for_loss(self.compared.losses)
        if self.tested.passed is False:
            raise ServiceError(
                f"every service is ready, but the platform does not do its work: {self.tested.detail}",
                tried="; ".join(["indexed a marked document, searched for it, looked for it in Qdrant", *bad]),
                todo="archon status; read the logs of archon-search and qdrant. The services were left running",
            )
