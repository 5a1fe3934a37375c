"""Small programs in the place of real servers: they note how they were called and answer their probe.

``python fake_server.py qdrant|memgraph RECORD [flags of the server…]``
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Qdrant(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"result": {"collections": []}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def serve_qdrant() -> None:
    address = os.environ["QDRANT__SERVICE__HOST"], int(os.environ["QDRANT__SERVICE__HTTP_PORT"])
    ThreadingHTTPServer(address, _Qdrant).serve_forever()


_HELLO, _GOODBYE = 0x01, 0x02
_SERVER = b"\xa2\x86server\x8bNeo4j/5.2.0\x8dconnection_id\x81x"


def _answer_bolt(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as stream:
        if len(stream.read(20)) < 20:
            return
        connection.sendall(bytes([0, 0, 2, 5]))
        while head := stream.read(2):
            message = b""
            while size := struct.unpack(">H", head)[0]:
                message += stream.read(size)
                head = stream.read(2)
            if not message:
                continue
            if message[1] == _GOODBYE:
                return
            success = b"\xb1\x70" + (_SERVER if message[1] == _HELLO else b"\xa1\x86fields\x90")
            connection.sendall(struct.pack(">H", len(success)) + success + b"\0\0")


def serve_memgraph(flags: list[str]) -> None:
    values = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    with socket.create_server((values["bolt-address"], int(values["bolt-port"]))) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer_bolt, args=(connection,), daemon=True).start()


def main(kind: str, record: str, flags: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if key.startswith("QDRANT_")}
    Path(record).write_text(json.dumps({"flags": flags, "environment": environment, "cwd": str(Path.cwd())}))
    if kind == "qdrant":
        serve_qdrant()
    else:
        serve_memgraph(flags)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
