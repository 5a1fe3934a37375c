"""The platform lock: one holder, seen through crashes, takeovers and two processes racing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archon_dagster.errors import Cancelled, LockLost, RepositoryBusy
from archon_dagster.repository.backends.filesystem import FilesystemBackend
from archon_dagster.repository.holder import LOCK_KEY, current_holder
from archon_dagster.repository.lock import lock

FOREVER_AGO = (1_000_000, 1_000_000)


def record(backend: FilesystemBackend) -> dict[str, object]:
    found: dict[str, object] = json.loads((backend.root / LOCK_KEY).read_bytes())
    return found


def pretend(backend: FilesystemBackend, **fields: object) -> None:
    """Somebody else's hand on the record."""
    (backend.root / LOCK_KEY).write_text(json.dumps(record(backend) | fields))


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.01)


def test_a_second_holder_is_told_who_and_since_when(backend: FilesystemBackend) -> None:
    with (
        lock(backend, "nightly backup"),
        pytest.raises(RepositoryBusy, match=rf"nightly backup.*{os.getpid()}.* since 20"),
        lock(backend, "restore"),
    ):
        pytest.fail("two holders")


def test_the_lock_is_free_again_afterwards_and_its_fence_grows(backend: FilesystemBackend) -> None:
    fences = []
    for _ in range(3):
        with lock(backend, "backup") as lease:
            fences.append(lease.fence)
    assert [fence - fences[0] for fence in fences] == [0, 1, 2]
    assert current_holder(backend) is None


def test_the_lock_is_given_back_after_a_failure(backend: FilesystemBackend) -> None:
    with pytest.raises(ZeroDivisionError), lock(backend, "backup"):
        _ = 1 / 0
    with lock(backend, "backup"):
        pass


def test_waiting_ends_when_the_holder_is_done(backend: FilesystemBackend) -> None:
    started, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with lock(backend, "first"):
            started.set()
            finish.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert started.wait(20)
    threading.Timer(0.3, finish.set).start()
    with lock(backend, "second", wait=20):
        assert not thread.is_alive() or finish.is_set()
    thread.join()


def test_waiting_can_be_cancelled(backend: FilesystemBackend) -> None:
    def cancelled() -> None:
        raise Cancelled("stop")

    with lock(backend, "first"), pytest.raises(Cancelled), lock(backend, "second", wait=60, check=cancelled):
        pytest.fail("two holders")


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_learns_it(backend: FilesystemBackend) -> None:
    with lock(backend, "sleeper") as sleeper:
        pretend(backend, host="another host", lease=1.0)
        os.utime(backend.root / LOCK_KEY, FOREVER_AGO)
        with lock(backend, "second") as second:
            assert second.fence == sleeper.fence + 1
            with pytest.raises(LockLost, match=r"sleeper.*taken it over"):
                sleeper.renew()
            with pytest.raises(LockLost):
                sleeper.check()
            second.renew()
    assert record(backend)["fence"] == second.fence


def test_a_holder_on_another_host_keeps_the_lock_while_its_lease_lasts(backend: FilesystemBackend) -> None:
    with lock(backend, "over there"):
        pretend(backend, host="another host", pid=1)
        with pytest.raises(RepositoryBusy, match="another host"), lock(backend, "here"):
            pytest.fail("two holders")


def test_a_killed_holder_on_this_host_is_not_waited_for(backend: FilesystemBackend) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from archon_dagster.repository.backends.filesystem import FilesystemBackend\n"
        "from archon_dagster.repository.lock import lock\n"
        "with lock(FilesystemBackend(Path(sys.argv[1])), 'killed'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(backend.root)], check=False, timeout=60)
    assert record(backend)["released"] is False
    assert current_holder(backend) is None
    before = record(backend)["fence"]
    with lock(backend, "next") as lease:
        assert lease.fence - 1 == before


def test_another_process_with_the_dead_holder_s_pid_is_not_mistaken_for_it(backend: FilesystemBackend) -> None:
    with lock(backend, "first"):
        pretend(backend, started=1)  # our pid, but the holder began at another time
        assert current_holder(backend) is None


def test_the_same_pid_in_another_container_proves_nothing(backend: FilesystemBackend) -> None:
    with lock(backend, "first"):
        pretend(backend, namespace=1, pid=999_999_999)
        assert current_holder(backend) is not None


def test_the_heartbeat_keeps_a_short_lease_alive(backend: FilesystemBackend) -> None:
    with lock(backend, "long work", lease=2.0) as lease:
        first = (backend.root / LOCK_KEY).stat().st_mtime_ns
        wait_for(lambda: (backend.root / LOCK_KEY).stat().st_mtime_ns > first + 2_200_000_000)
        lease.check()
        with pytest.raises(RepositoryBusy), lock(backend, "second"):
            pytest.fail("two holders")


def test_a_lease_that_cannot_be_renewed_is_lost(tmp_path: Path) -> None:
    broken = threading.Event()

    def on_step(name: str, path: Path) -> None:
        if broken.is_set() and name == "touch":
            raise OSError(5, "broken", str(path))

    with lock(FilesystemBackend(tmp_path, on_step=on_step), "work", lease=0.5) as lease:
        broken.set()
        with pytest.raises(LockLost, match="could not be renewed"):
            wait_for(lambda: lease.check())
        broken.clear()


def test_a_full_disk_neither_costs_the_lease_nor_keeps_it(tmp_path: Path) -> None:
    full = threading.Event()

    def on_step(name: str, path: Path) -> None:
        if full.is_set() and name in ("create", "write"):
            raise OSError(28, "No space left on device", str(path))

    with lock(FilesystemBackend(tmp_path, on_step=on_step), "restore") as lease:
        full.set()
        lease.renew()
        fence = lease.fence
    assert current_holder(FilesystemBackend(tmp_path)) is None
    with lock(FilesystemBackend(tmp_path), "next", wait=2) as lease:
        assert lease.fence >= fence


def test_a_damaged_record_needs_no_hand_once_it_is_old(backend: FilesystemBackend) -> None:
    backend.put(LOCK_KEY, b"\0garbage")
    with pytest.raises(RepositoryBusy), lock(backend, "too early"):
        pytest.fail("the record may be in use")
    os.utime(backend.root / LOCK_KEY, FOREVER_AGO)
    with lock(backend, "next") as lease:
        assert lease.fence > 1_000_000


def test_processes_that_race_for_the_lock_never_hold_it_together(backend: FilesystemBackend) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from archon_dagster.repository.backends.filesystem import FilesystemBackend\n"
        "from archon_dagster.repository.lock import lock\n"
        "root = Path(sys.argv[1]); backend = FilesystemBackend(root)\n"
        "for _ in range(4):\n"
        "    with lock(backend, 'race', wait=60) as lease:\n"
        "        (root / 'held').open('x').close()\n"
        "        with (root / 'fences').open('a') as log: log.write(f'{lease.fence}\\n')\n"
        "        lease.renew(); (root / 'held').unlink()\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, str(backend.root)]) for _ in range(2)]
    assert [racer.wait(120) for racer in racers] == [0, 0]
    fences = [int(line) for line in (backend.root / "fences").read_text().split()]
    assert fences == list(range(fences[0], fences[0] + 8))


# what somebody is told who finds it taken


def refused(backend: FilesystemBackend) -> str:
    with pytest.raises(RepositoryBusy) as caught, lock(backend, "me"):
        pytest.fail("two holders")
    return str(caught.value)


def test_the_refusal_says_who_since_when_how_long_at_most_and_what_to_do(backend: FilesystemBackend) -> None:
    with lock(backend, "nightly backup"):
        since = datetime.now(UTC) - timedelta(minutes=5, seconds=7)
        pretend(backend, host="backup-host", pid=4711, since=since.isoformat())
        said = refused(backend)
    assert f"'nightly backup' by process 4711 on backup-host since {since:%Y-%m-%d %H:%M:%S} UTC (0:05:0" in said
    assert f"({backend.root / LOCK_KEY})" in said
    seconds = int(re.search(r"runs out by itself in (\d+) s", said)[1])  # type: ignore[index]
    assert 50 <= seconds <= 60
    assert "what to do: wait until it is done" in said


def test_the_rest_of_the_lease_counts_from_the_last_heartbeat(backend: FilesystemBackend) -> None:
    with lock(backend, "work"):
        pretend(backend, host="another host", pid=1)
        seen = time.time() - 40.5  # the storage's clock may lag behind by some milliseconds
        os.utime(backend.root / LOCK_KEY, (seen, seen))
        holder = current_holder(backend)
        assert holder is not None
        assert 18 <= holder.left <= 20
        assert holder.expires == datetime.fromtimestamp(seen, UTC) + timedelta(seconds=60)


GARBAGE = [b"", b"{", b"\0" * 100, b'{"holder": "x"}', b"[" * 10_000]


@pytest.mark.parametrize("content", GARBAGE)
def test_a_garbage_record_is_named_with_the_way_out(backend: FilesystemBackend, content: bytes) -> None:
    with lock(backend, "work"):
        pass
    (backend.root / LOCK_KEY).write_bytes(content)
    said = refused(backend)
    assert "record of the platform lock cannot be read" in said
    assert str(backend.root / LOCK_KEY) in said
    assert re.search(r"taken over in (60|5\d) s", said)
    assert "on every host that nothing works on the platform, then remove the file" in said
    assert current_holder(backend) is None
    (backend.root / LOCK_KEY).unlink()  # as it was told
    with lock(backend, "afterwards"):
        pass


@pytest.mark.parametrize("change", [{"lease": -1}, {"lease": 1e12}, {"since": "2026-11-24T03:00:00"}, {"fence": "x"}])
def test_a_record_with_impossible_values_is_garbage(backend: FilesystemBackend, change: dict[str, object]) -> None:
    with lock(backend, "work"):
        pretend(backend, **change)
        assert "cannot be read" in refused(backend)


@pytest.mark.parametrize("content", GARBAGE)
def test_a_garbage_record_is_taken_over_by_itself_once_it_is_old(backend: FilesystemBackend, content: bytes) -> None:
    with lock(backend, "work") as lease:
        before = lease.fence
    (backend.root / LOCK_KEY).write_bytes(content)
    os.utime(backend.root / LOCK_KEY, FOREVER_AGO)
    with lock(backend, "next") as lease:
        assert lease.fence >= before


@pytest.mark.parametrize(("what", "words"), [("pipe", "is not a file"), ("huge", "is 1073741824 bytes")])
def test_something_else_in_the_record_s_place_is_named_with_the_way_out(
    backend: FilesystemBackend, what: str, words: str
) -> None:
    (backend.root / "locks").mkdir()
    if what == "pipe":
        os.mkfifo(backend.root / LOCK_KEY)
    else:
        (backend.root / LOCK_KEY).touch()
        os.truncate(backend.root / LOCK_KEY, 1 << 30)
    said = refused(backend)
    assert words in said
    assert str(backend.root / LOCK_KEY) in said
    assert "then remove what is there" in said
    assert current_holder(backend) is None
    (backend.root / LOCK_KEY).unlink()  # as it was told
    with lock(backend, "afterwards"):
        pass
