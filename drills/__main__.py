"""The command line of the drills. The last line is for programs; the exit code is 1 where not all is well."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from archon_dagster.cli.output import console, plain
from archon_dagster.errors import ArchonError
from archon_dagster.sandbox.support import check_supported
from drills import results
from drills.faults import FAULTS, OF_CONTAINERS, named
from drills.kills import Kills, kill_at_random
from drills.platform import Platform, running_platform
from drills.recovery import Tell, drill
from drills.waiting import TooLate


def main() -> int:
    """Run a drill."""
    options = _arguments()
    check_supported()
    home = Path(options.home or tempfile.mkdtemp(prefix="archon-drill-")).resolve()
    # what is broken here on purpose, again and again, is no service that flaps: each time is an incident of its own
    settings = {"ARCHON_HEALTH_FLAP_CHANGES": "1000"}
    if options.interval:
        settings["ARCHON_HEALTH_INTERVAL"] = str(options.interval)
    if options.drill == "kills":  # more within an hour than is good for any service: a person would be asked
        settings["ARCHON_RECOVERY_HOURLY"] = str(max(20, 2 * options.kills))
    begun = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.0f} s[/]  {plain(text)}", highlight=False, soft_wrap=True)

    tell(f"starting a platform in {home}")
    work = _recovery if options.drill == "recovery" else _kills
    nothing = results.last_line([], len(named(options.only, options.runtime)))
    verdict = Verdict(False, nothing if options.drill == "recovery" else Kills(options.kills).line)
    try:
        with running_platform(home, settings, options.runtime) as platform:
            tell("it is up, filled and backed up")
            verdict = work(platform, options, tell)
    except KeyboardInterrupt:
        console.print("interrupted")
    except (TooLate, ArchonError) as error:
        console.print(f"[red]the drill could not be made:[/] {plain(str(error))}", soft_wrap=True)
    if not verdict.good:
        console.print(f"what is left of it is in {plain(str(home))}", highlight=False, soft_wrap=True)
    elif not options.home:
        shutil.rmtree(home)
    console.print(verdict.line, highlight=False)
    return 0 if verdict.good else 1


class Verdict(NamedTuple):
    """Whether all is as it has to be, and the last line."""

    good: bool
    line: str


def _recovery(platform: Platform, options: argparse.Namespace, tell: Tell) -> Verdict:
    faults = named(options.only, options.runtime)
    rows = drill(platform, faults, tell)
    console.print(results.drawn(rows))
    for trouble in results.troubles(rows):
        console.print(plain(trouble), highlight=False, soft_wrap=True)
    return Verdict(len(rows) == len(faults) and all(row.good for row in rows), results.last_line(rows, len(faults)))


def _kills(platform: Platform, options: argparse.Namespace, tell: Tell) -> Verdict:
    found = kill_at_random(platform, options.kills, options.seed, tell)
    for line in found.told:
        console.print(plain(line), highlight=False, soft_wrap=True)
    return Verdict(found.good, found.line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    parser.add_argument("drill", choices=("recovery", "kills"))
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", choices=[one.name for one in (*FAULTS, *OF_CONTAINERS)]
    )
    parser.add_argument("--runtime", choices=("processes", "compose"), default="processes", help="what the servers are")
    parser.add_argument("--kills", type=int, default=100, help="how many, one after the other")
    parser.add_argument("--seed", type=int, default=1, help="which services are killed in which order")
    parser.add_argument("--interval", type=int, help="seconds between two looks of the health monitor")
    parser.add_argument("--home", help="where the platform is made; what is there is removed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
