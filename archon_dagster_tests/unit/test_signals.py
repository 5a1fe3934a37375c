"""A request to end that Dagster keeps back and forgets is heard all the same."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.interrupts import capture_interrupts

from archon_dagster.cli import submit
from archon_dagster.cli.signals import noted_signals, signals_held_back
from archon_dagster.errors import Cancelled
from archon_dagster.platform.settings import load_settings
from archon_dagster_tests.eventually import eventually


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_dagster_forgets_is_noted_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with noted_signals() as came, capture_interrupts():
        assert not came()
        os.kill(os.getpid(), number)  # nothing is raised here, and nothing afterwards
        assert came()
        assert not came()
    assert signal.getsignal(number) == before


def test_another_signal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with noted_signals() as came:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not came()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_beside_the_main_thread_there_are_no_signals() -> None:
    said = list[bool]()

    def ask() -> None:
        with noted_signals() as came:
            said.append(came())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    assert said == [False]


def test_an_interrupt_waits_for_an_import_even_where_another_thread_gets_it() -> None:
    reached = False
    idle = threading.Event()
    other = threading.Thread(target=idle.wait, args=(10,))
    before = signal.getsignal(signal.SIGINT)
    other.start()
    with pytest.raises(KeyboardInterrupt), noted_signals() as came, signals_held_back():
        signal.pthread_kill(other.ident or 0, signal.SIGINT)
        eventually(came)
        reached = True
    idle.set()
    other.join(10)
    assert reached
    assert signal.getsignal(signal.SIGINT) == before


def test_a_run_that_ended_before_it_heard_the_interrupt_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.success_hook
    def late(_: dg.HookContext) -> None:
        with capture_interrupts():  # as after the last step of a run
            os.kill(os.getpid(), signal.SIGINT)

    @dg.op
    def work() -> None: ...

    @dg.job(hooks={late}, executor_def=dg.in_process_executor)
    def short() -> None:
        work()

    monkeypatch.setenv("ARCHON_HOME", str(tmp_path))
    monkeypatch.setattr("archon_dagster.definitions.defs", dg.Definitions(jobs=[short]))
    with pytest.raises(Cancelled, match="interrupted, but the job short had come to its end"):
        submit.run_job(load_settings(), "short", {}, lambda _: None)
