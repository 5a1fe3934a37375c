"""``docs/docker.md``, typed: its commands, read out of the page as an operator copies them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archon_dagster_tests.docker.servers import CHECKOUT

TEXT = (CHECKOUT / "docs" / "docker.md").read_text()
_LIMIT = 900.0  # seconds of what is typed at once


def commands(heading: str) -> list[str]:
    """The lines of the code blocks below a heading, up to the next one; there is at least one."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for block in re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    assert lines, f"no command below {heading!r}"
    return lines


@dataclass(frozen=True)
class Operator:
    """Somebody with a shell in a clone who types what the page says.

    :param instead: what is typed in the place of what, because this engine and this machine differ from the page's.
    """

    clone: Path
    instead: Mapping[str, str]

    def types(self, *lines: str, code: int = 0) -> str:
        """What the commands print; each has to succeed. Lines that are typed together know each other's aliases.

        :param code: with which the last one has to end.
        """
        text = "\n".join(lines)
        for said, typed in self.instead.items():
            text = text.replace(said, typed)
        done = subprocess.run(["sh", "-ec", text], cwd=self.clone, env=os.environ, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=_LIMIT)  # fmt: skip
        assert done.returncode == code, f"{text}\n{done.returncode}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout
