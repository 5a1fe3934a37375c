"""Apply a file and die of SIGKILL at one of the steps: ``killed.py HOME FILE STEP begin|end``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from archon_dagster.configuration.apply import ApplyRequest, apply
from archon_dagster.context import Step
from archon_dagster_tests.unit.configuration.platform import EnvPlatform


def main(home: str, file: str, step: str, when: str) -> None:
    def report(news: Any) -> None:
        if isinstance(news, Step) and news.name == step and (news.seconds is None) == (when == "begin"):
            os.kill(os.getpid(), signal.SIGKILL)

    context = EnvPlatform(Path(home)).context(report)
    apply(context, ApplyRequest(Path(file), "APPLY", offline=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
