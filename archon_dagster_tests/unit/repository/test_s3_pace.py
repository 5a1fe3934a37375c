"""Slow is an error, in either direction; pauses of ours are not the server's slowness."""

from __future__ import annotations

import pytest

from archon_dagster.repository.backends.s3.errors import TooSlow
from archon_dagster.repository.backends.s3.pace import SLOWEST, Pace, PacedBody
from archon_dagster.repository.backends.s3.settings import load_s3_settings

SETTINGS = load_s3_settings(ARCHON_S3_READ_TIMEOUT=1)


def test_what_moves_at_the_least_rate_may_take_any_time() -> None:
    pace = Pace(SETTINGS, "read", "x")
    for _ in range(1000):
        pace.moved(SLOWEST, 1.0)


def test_a_trickle_is_given_up_after_the_grace() -> None:
    pace = Pace(SETTINGS, "read", "s3://bucket/x")
    pace.moved(1, 1.9)
    with pytest.raises(TooSlow, match="2 bytes moved in 4 s") as caught:
        pace.moved(1, 2.0)
    assert caught.value.where == "s3://bucket/x"


def test_a_body_is_given_as_it_is_and_again_from_the_start() -> None:
    body = PacedBody(memoryview(b"content"), SETTINGS, "x")
    assert (body.read(3), body.read()) == (b"con", b"tent")
    body.seek(0)
    assert body.read() == b"content"
    body.close()


def test_a_body_that_is_taken_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from archon_dagster.repository.backends.s3 import pace

    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    body = PacedBody(bytes(100), SETTINGS, "x")
    now[0] = 1.0
    body.read(10)
    now[0] = 10.0
    with pytest.raises(TooSlow):
        body.read(10)
    body.close()
