"""The digest that runs beside its producer is the digest of the stream."""

from __future__ import annotations

import hashlib
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from archon_dagster.repository.digest import StreamDigest

sizes = st.lists(st.sampled_from([0, 1, 700, 64 << 10, (64 << 10) + 1, 3 << 20, 20 << 20]), max_size=12)


@given(sizes=sizes)
@settings(max_examples=40, deadline=None)
def test_it_is_that_of_the_stream_at_any_time(sizes: list[int]) -> None:
    expected, digest = hashlib.sha256(), StreamDigest()
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        expected.update(data)
        digest.update(data)
        if number % 3 == 0:
            assert digest.hexdigest() == expected.hexdigest()
    digest.close()
    assert digest.hexdigest() == expected.hexdigest()


def test_closing_it_ends_its_thread() -> None:
    before, digest = set(threading.enumerate()), StreamDigest()
    digest.update(bytes(1 << 20))
    (thread,) = set(threading.enumerate()) - before
    digest.close()
    thread.join(10)
    assert not thread.is_alive()
