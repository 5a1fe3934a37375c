"""What came of a security update."""

from __future__ import annotations

from dataclasses import dataclass, field

from archon_dagster.errors import ServiceError
from archon_dagster.maintenance.recorded import Recorded


@dataclass(frozen=True)
class Updated:
    """What came of it.

    :param changed: the image ids before and after, by service. :param returned: put back, with the reason in ``why``.
    :param unasked: replaced services in which ``pip check`` could not be asked: that their packages go together is not
        known.
    """

    before: Recorded
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    why: str = ""
    unasked: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not self.why

    @property
    def headline(self) -> str:
        """The whole in a sentence."""
        if self.why:
            return f"taken back: {self.why}"
        named = f": {', '.join(self.changed)}" if self.changed else ""
        said = f"{len(self.changed)} services replaced{named}; {len(self.unchanged)} had no newer image"
        return f"{said}; {self.warning}" if self.warning else said

    @property
    def warning(self) -> str:
        """What is not known of the new images; empty where there is nothing to say."""
        return f"warning: pip check could not be asked in {', '.join(self.unasked)}" if self.unasked else ""

    def raise_for_failure(self) -> None:
        """:class:`ServiceError` where the update was taken back."""
        if self.why:
            raise ServiceError(
                f"the update failed and was taken back: {self.why}",
                tried=f"put back: {', '.join(self.returned) or 'nothing had been replaced'}",
                todo="the platform runs on the images it had before; mend the new image, then: archon security-updates",
            )
