"""How a run is stopped through a webserver that answers late, or not at all."""

from __future__ import annotations

import socket

import pytest

from archon_dagster.cli import webserver
from archon_dagster.cli.webserver import WebserverGone, WebserverView


def test_who_is_answered_only_when_the_run_has_put_everything_back_goes_on_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webserver, "ANSWER_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        view = WebserverView("http://127.0.0.1:{1}".format(*server.getsockname()), "a-run", print)
        view.stop()
        server.settimeout(5.0)
        heard, _ = server.accept()
        with heard:
            assert b"terminateRun" in heard.recv(65536)


def test_a_webserver_that_is_gone_is_not_taken_for_one_that_is_at_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = "http://127.0.0.1:{1}".format(*server.getsockname())
    with pytest.raises(WebserverGone):
        WebserverView(url, "a-run", print).stop()
