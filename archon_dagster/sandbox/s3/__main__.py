"""Serve S3 on the loopback interface until SIGTERM, Ctrl-C, or the end of standard input where asked for."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading

from werkzeug.serving import BaseWSGIServer, make_server

from archon_dagster.sandbox.ports import LOOPBACK
from archon_dagster.sandbox.s3.app import create_app
from archon_dagster.sandbox.s3.running import BUCKET, ObjectStorage


def main() -> None:
    parser = argparse.ArgumentParser(prog="archon-s3", description="The sandbox's S3 server; it keeps all in memory.")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--bucket", default=BUCKET)
    parser.add_argument("--with-stdin", action="store_true", help="end when standard input ends")
    chosen = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server(LOOPBACK, chosen.port, create_app(chosen.bucket), threaded=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    if chosen.with_stdin:
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    storage = ObjectStorage(f"http://{LOOPBACK}:{server.server_port}", chosen.bucket)
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in storage.environment.items()) + "\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.1)
    server.server_close()


def _end_with_stdin(server: BaseWSGIServer) -> None:
    sys.stdin.buffer.read()
    server.shutdown()


if __name__ == "__main__":
    main()
