from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from archon_dagster.sandbox.ports import any_free, choose, is_free


@pytest.fixture
def occupied() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(occupied: int) -> None:
    assert not is_free(occupied)


def test_the_preferred_port_is_chosen_where_it_is_free() -> None:
    port = any_free()
    assert choose([port]) == port


def test_another_port_is_chosen_where_the_preferred_one_is_occupied(occupied: int) -> None:
    chosen = choose([occupied])
    assert chosen != occupied
    assert is_free(chosen)


def test_a_port_of_another_service_is_never_chosen() -> None:
    first, second = any_free(), any_free()
    assert choose([first, second], taken={first}) == second
