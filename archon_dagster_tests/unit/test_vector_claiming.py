"""A name on a vector server, taken so that nobody else's collection is replaced or deleted."""

from __future__ import annotations

from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError, StoreError, StoreUnavailable
from archon_dagster.stores.vectors.claiming import Claim, require_possible
from archon_dagster.stores.vectors.transport import Refused


class Server:
    """Collections by name with their number of points, as a client sees them; it may fail at a creation."""

    address = "http://127.0.0.1:6333"

    def __init__(self, **points: int) -> None:
        self.points: dict[str, int] = dict(points)
        self.creation: Exception | None = None
        self.broken = self.vanishing = False

    def tidying(self) -> Server:
        return self

    def collections(self) -> list[str]:
        return list(self.points)

    def aliases(self) -> dict[str, str]:
        return {}

    def create_collection(self, name: str, body: Any) -> None:
        if self.creation is not None:
            raise self.creation
        self.points[name] = 0

    def info(self, name: str) -> dict[str, Any]:
        if self.broken:
            raise refused(500, "shard is dead")
        return {"config": {}}

    def count(self, name: str) -> int:
        return self.points[name]

    def delete_collection(self, name: str) -> None:
        del self.points[name]
        if self.vanishing:
            raise refused(404, "Not found")


def refused(status: int, said: str) -> Refused:
    return Refused(said, status=status, said=said, where=Server.address)


def claimed(server: Server, sent: int) -> Claim:
    claim = Claim("new")
    claim.create(server, {})  # type: ignore[arg-type]
    claim.sent = sent
    return claim


@pytest.mark.parametrize(
    "answer", [refused(409, "x"), refused(400, "Wrong input: Collection `new` already exists!")], ids=["409", "400"]
)
def test_a_name_that_is_taken_is_not_ours_and_stays(answer: Refused) -> None:
    server, claim = Server(new=7), Claim("new")
    server.creation = answer
    with pytest.raises(StoreError, match="somebody else has made new meanwhile"):
        claim.create(server, {})  # type: ignore[arg-type]
    claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {"new": 7}


def test_what_was_made_and_holds_what_was_sent_goes() -> None:
    server = Server(other=1)
    claim = claimed(server, 5)
    server.points["new"] = 5
    claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {"other": 1}


def test_more_points_than_were_sent_are_somebody_elses() -> None:
    server = Server()
    claim = claimed(server, 5)
    server.points["new"] = 6
    with pytest.raises(StoreError, match="it holds 6 points, of which this restore has sent 5 at most"):
        claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {"new": 6}


def test_where_no_answer_came_what_is_there_stays_and_is_named() -> None:
    server, claim = Server(), Claim("new")
    server.creation = StoreUnavailable("no answer")
    with pytest.raises(StoreUnavailable):
        claim.create(server, {})  # type: ignore[arg-type]
    claim.give_up(server)  # type: ignore[arg-type]  # nothing has come of it
    server.points["new"] = 0
    with pytest.raises(StoreError, match="it may be somebody else's"):
        claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {"new": 0}


def test_where_the_server_makes_it_by_itself_the_name_must_be_free_and_what_comes_is_ours() -> None:
    server, claim = Server(new=1), Claim("new")
    with pytest.raises(StoreError, match="somebody else"):
        claim.require_free(server)  # type: ignore[arg-type]
    del server.points["new"]
    claim.require_free(server)  # type: ignore[arg-type]
    server.points["new"] = 0
    with pytest.raises(StoreError, match="left as it is"):
        claim.give_up(server)  # type: ignore[arg-type]
    claim.arrived()
    claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {}


def test_one_that_does_not_work_or_vanishes_meanwhile_is_removed() -> None:
    server = Server()
    claim = claimed(server, 5)
    server.broken = server.vanishing = True
    claim.give_up(server)  # type: ignore[arg-type]
    claim.give_up(server)  # type: ignore[arg-type]
    assert server.points == {}


@pytest.mark.parametrize(
    "name", ["", ".", "..", *(f"a{c}b" for c in '<>:"/\\|?*\0\x1f'), "x" * 256, "☃" * 86, "\udcff"]
)
def test_names_that_no_server_takes(name: str) -> None:
    with pytest.raises(ConfigurationError, match="nothing was touched"):
        require_possible(name, Server.address)


@pytest.mark.parametrize("name", ["...", ".hidden", "ünï ☃ 名前", "quotes 'n' %2F", "x" * 255, "☃" * 85])
def test_odd_names_that_a_server_takes(name: str) -> None:
    require_possible(name, Server.address)
