"""Is a configuration file good: everything that can be told from the file alone, every problem at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from archon_dagster.configuration import control_plane
from archon_dagster.configuration import values as one_value
from archon_dagster.configuration.envfile import Assignment, EnvFile, parse
from archon_dagster.configuration.problem import Problem, in_order
from archon_dagster.configuration.rules import RULES
from archon_dagster.configuration.variables import DEPLOYMENT, is_known, nearest
from archon_dagster.errors import ConfigurationError
from archon_dagster.platform.runtime.compose_project import is_project

_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*…?")


@dataclass(frozen=True, slots=True)
class Validation:
    """What is wrong with a file.

    :param where: which file, for people. :param live: whether the servers it names were asked.
    """

    where: str
    file: EnvFile
    problems: tuple[Problem, ...]
    live: bool = False

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.severity == "error")

    @property
    def exit_code(self) -> int:
        """0: fine, 1: warnings, 2: errors."""
        return 2 if self.errors else 1 if self.problems else 0

    @property
    def headline(self) -> str:
        """The whole in a line."""
        errors, warnings = len(self.errors), len(self.problems) - len(self.errors)
        if not self.problems:
            return f"{self.where} is good: {len(self.file.values)} variables"
        return f"{self.where}: {errors} {_s(errors, 'error')}, {warnings} {_s(warnings, 'warning')}"

    def raise_for_errors(self) -> None:
        """:class:`ConfigurationError` that names every error."""
        if self.errors:
            lines = "\n".join(one.sentence for one in self.errors)
            raise ConfigurationError(
                f"the configuration is not usable, {len(self.errors)} {_s(len(self.errors), 'error')}; "
                f"nothing was touched\n{lines}",
                where=self.where,
                todo="correct the file, then: archon config validate FILE",
            )


def validate(content: bytes, where: str = "the file", *, composed: bool = False) -> Validation:
    """Look at the bytes of a file; nothing is asked, and nothing of this process's environment counts.

    :param composed: a compose file beside it gives the services the stores' addresses.
    """
    file = parse(content)
    problems = [*file.problems, *_each(file)]
    problems += _settings(file, {one.key for one in problems if one.severity == "error"})
    if file.assignments:
        wrong = {one.key for one in problems if one.severity == "error"}
        marked = {key: replace(one, broken=one.broken or key in wrong) for key, one in file.values.items()}
        problems += [problem for rule in RULES for problem in rule(marked, composed)]
    elif not problems:
        problems.append(Problem("error", "there is no variable in the file"))
    return Validation(where, file, in_order(problems))


def validate_file(path: Path, *, composed: bool | None = None) -> Validation:
    """The same for a file; raises :class:`ConfigurationError` where it cannot be read.

    :param composed: ``None``: if there is a compose file beside it.
    """
    beside = is_project(path.parent) if composed is None else composed
    return validate(read_file(path), str(path), composed=beside)


def read_file(path: Path) -> bytes:
    """The bytes of a file that is to be looked at."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the configuration file cannot be read: {error.strerror}; nothing was touched",
            where=str(path),
            todo="name a file that is there: archon config validate FILE",
        ) from error


def _each(file: EnvFile) -> Iterator[Problem]:
    """What every single value says of itself; all assignments count, also one that a later one hides."""
    for found in file.assignments:
        if not is_known(found.key):
            yield Problem(
                "warning", f"nobody is known to read {found.key[:60]}", _meant(found.key), found.key, found.line
            )
        if not found.broken and (said := one_value.wrong(found.key, found.value)) is not None:
            yield Problem("error", f"{found.key} {said}", "", found.key, found.line)


def _settings(file: EnvFile, wrong: set[str]) -> Iterator[Problem]:
    """What the control plane's own settings say: it would not start with this file."""
    good = {key: one for key, one in file.values.items() if not one.broken and key not in wrong}
    names = {key.upper(): key for key in good}
    for refusal in control_plane.refusals({key: one.value for key, one in good.items()}):
        if (key := names.get(refusal.variable)) is not None:
            text = f"{key} is {one_value.shown(key, good[key].value)}: {refusal.text}"
            yield Problem("error", text, "", key, good[key].line)
        elif refusal.elsewhere:
            yield Problem("warning", refusal.text, "good as long as the other one is a secret in a file of its own")
        else:
            yield Problem("error", refusal.text, "change one of them", line=_first_of(good, refusal.text))


def _first_of(values: Mapping[str, Assignment], text: str) -> int:
    """The line of the first variable that a text is about; it names them, or what they begin with and an ellipsis."""
    words = [(word.removesuffix("…"), word.endswith("…")) for word in _VARIABLE.findall(text)]
    lines = [
        one.line for key, one in values.items()
        if any(key.upper() == word or (more and key.upper().startswith(word)) for word, more in words)
    ]  # fmt: skip
    return min(lines, default=0)


def _meant(key: str) -> str:
    if key in DEPLOYMENT:
        return "it belongs into the .env of the control plane's own compose project, docker/.env"
    near = nearest(key)
    return f"did you mean {near}?" if near else "remove it if it is a mistake; it is handed on as it is"


def _s(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
