"""All points of a portable file into a collection: requests of bounded size, two under way at a time.

Every request waits until its points are applied, so that the server sets the pace and an error is heard at once.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from archon_dagster.stores.base import Progress, Work
from archon_dagster.stores.vectors.client import Client
from archon_dagster.stores.vectors.portable.bodies import bodies
from archon_dagster.stores.vectors.portable.reading import PortableFile

UNDER_WAY = 2
_NEWS = 0.25  # seconds between two reports


def upsert_all(client: Client, target: str, file: PortableFile, work: Work) -> None:
    """Send every point, reporting as it goes."""
    sent, reported, pending = 0, time.monotonic(), deque[Future[None]]()
    with ThreadPoolExecutor(UNDER_WAY, thread_name_prefix="qdrant-upsert") as pool:
        for group in file.groups(work.check):
            for body, points in bodies(group.table, file.about):
                if len(pending) == UNDER_WAY:
                    pending.popleft().result()
                pending.append(pool.submit(client.upsert, target, body, work.deadline))
                sent += points
                if time.monotonic() - reported > _NEWS:
                    reported = time.monotonic()
                    work.report(Progress("vectors", f"write points of {target}", sent, file.rows, "points"))
        while pending:
            pending.popleft().result()
