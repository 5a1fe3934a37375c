"""The balancer's rotation: the least busy of those that are well; what is taken off the list is drained, not cut."""

from __future__ import annotations

from archon_dagster.sandbox.balancer.rotation import Replica, Rotation


def well(*ports: int) -> Rotation:
    rotation = Rotation(ports)
    for port in ports:
        rotation.checked(port, True)
    return rotation


def chosen(rotation: Rotation) -> Replica:
    replica = rotation.choose()
    assert replica is not None
    return replica


def test_a_replica_gets_nothing_before_it_was_well_once() -> None:
    rotation = well(1)
    rotation.replace([1, 2])
    assert {chosen(rotation).port for _ in range(3)} == {1}
    rotation.checked(2, True)
    assert chosen(rotation).port == 2


def test_where_nobody_is_well_everybody_gets_a_turn_so_that_what_is_wrong_is_seen() -> None:
    rotation = Rotation([1, 2])
    assert {chosen(rotation).port for _ in range(2)} == {1, 2}
    rotation.checked(2, True)
    assert {chosen(rotation).port for _ in range(3)} == {2}


def test_connections_go_to_the_least_busy() -> None:
    rotation = well(1, 2, 3)
    first = [chosen(rotation) for _ in range(3)]
    assert {one.port for one in first} == {1, 2, 3}
    rotation.ended(first[1])
    assert chosen(rotation).port == first[1].port


def test_idle_replicas_take_turns() -> None:
    rotation, ports = well(1, 2), []
    for _ in range(4):
        one = chosen(rotation)
        ports.append(one.port)
        rotation.ended(one)
    assert sorted(ports) == [1, 1, 2, 2]


def test_one_bad_check_changes_nothing_and_two_take_it_out() -> None:
    rotation = well(1, 2)
    rotation.checked(1, False)
    assert {chosen(rotation).port for _ in range(2)} == {1, 2}
    rotation.checked(1, False)
    assert {chosen(rotation).port for _ in range(3)} == {2}


def test_it_comes_back_after_two_good_checks_not_one() -> None:
    rotation = well(1)
    rotation.refused(chosen(rotation))
    rotation.replace([1, 2])
    rotation.checked(2, True)
    rotation.checked(1, False)
    rotation.checked(1, True)
    assert {chosen(rotation).port for _ in range(3)} == {2}
    rotation.checked(1, True)
    assert chosen(rotation).port == 1


def test_one_that_refuses_is_out_at_once_and_the_next_is_taken() -> None:
    rotation = well(1, 2)
    dead = chosen(rotation)
    rotation.refused(dead)
    assert {chosen(rotation).port for _ in range(4)} == {1, 2} - {dead.port}


def test_what_did_not_take_a_connection_is_not_offered_for_it_again() -> None:
    rotation = well(1, 2)
    assert rotation.choose(but=[1, 2]) is None
    other = rotation.choose(but=[1])
    assert other is not None
    assert other.port == 2


def test_a_replica_off_the_list_keeps_its_connections_and_is_forgotten_after_the_last() -> None:
    rotation = well(1, 2)
    held = [chosen(rotation), chosen(rotation)]
    rotation.replace([2])
    assert rotation.ports() == [2]
    assert {one.port for one in rotation.replicas()} == {1, 2}
    assert {chosen(rotation).port for _ in range(3)} == {2}
    rotation.ended(next(one for one in held if one.port == 1))
    assert {one.port for one in rotation.replicas()} == {2}


def test_a_replica_that_comes_back_while_it_is_drained_goes_on() -> None:
    rotation = well(1)
    held = chosen(rotation)
    rotation.replace([])
    assert rotation.choose() is None
    rotation.replace([1])
    assert chosen(rotation) is held


def test_a_check_of_one_that_is_gone_says_nothing() -> None:
    rotation = well(1)
    rotation.checked(9, True)
    assert rotation.ports() == [1]
