"""The Docker engine's API, cut down to the calls that the control plane makes.

Written here because the usual proxies break ``docker exec``: they drop the upgrade of a request with a body, or take
the end of the command's input for the end of the connection. This one looks at the head of a request and then only
moves bytes, each direction ending by itself. A connection carries one request: the engine is told to close it, so
nothing can follow an allowed request unseen.

It keeps mistakes away from volumes and other people's things. It is no wall: whoever may create a container, or run a
command in one, can be root on the host.
"""

import asyncio
import re
import sys
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

ENGINE, PORT = "/var/run/docker.sock", 2375
HEAD_LIMIT, HEAD_TIME = 64 * 1024, 30.0  # bytes; seconds a client may take to send the head of its request
BLOCK = 256 * 1024  # bytes

_NAME = r"[A-Za-z0-9_.-]+"
ALLOWED = {
    "GET": rf"_ping|version|info|events|services|(containers|images)/json|containers/{_NAME}/(json|logs|stats|top)"
    rf"|(networks|volumes)(/{_NAME})?|exec/{_NAME}/json|(images|distribution)/.+/json",
    "HEAD": "_ping",
    "POST": r"(containers|networks|volumes|images)/create|build|session|grpc"
    rf"|containers/{_NAME}/(start|stop|restart|kill|pause|unpause|rename|wait|resize|attach|exec)"
    rf"|exec/{_NAME}/(start|resize)|networks/{_NAME}/(connect|disconnect)",
    "DELETE": rf"containers/{_NAME}",
}


def allowed(method: str, target: str) -> bool:
    """Whether this request is one of those that are made; one that removes a container must leave its volumes."""
    parts = urlsplit(target)
    call = re.fullmatch(r"(?:/v[0-9.]+)?/(.*)", parts.path)
    if call is None or method not in ALLOWED or not re.fullmatch(ALLOWED[method], call[1]):
        return False
    with_volumes = parse_qs(parts.query, keep_blank_values=True).get("v", ["0"])
    return method != "DELETE" or all(value.lower() in ("0", "false") for value in with_volumes)


def closing(head: bytes) -> bytes:
    """The same head, asking the engine to close the connection after its answer; an upgrade stays one."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    upgrades = any(line.lower().startswith(b"upgrade:") for line in lines)
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
    return b"\r\n".join([first, *kept, b"Connection: Upgrade, close" if upgrades else b"Connection: close", b"", b""])


async def serve(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
    try:
        head = await asyncio.wait_for(client.readuntil(b"\r\n\r\n"), HEAD_TIME)
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if not allowed(method, target):
            print(f"refused: {method} {target}", file=sys.stderr, flush=True)  # noqa: T201 - its log
            answer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await answer.drain()
            return
        engine, request = await asyncio.open_unix_connection(ENGINE)
        try:
            request.write(closing(head))
            sending = asyncio.create_task(move(client, request))
            await move(engine, answer)  # the engine has the last word
            sending.cancel()
        finally:
            request.close()
    except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        print(f"broken off: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - its log
    finally:
        answer.close()


async def move(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Bytes from one side to the other until the source ends; then the sink hears of that, and only of that."""
    with suppress(ConnectionError):
        while block := await source.read(BLOCK):
            sink.write(block)
            await sink.drain()
        sink.write_eof()


async def main() -> None:
    server = await asyncio.start_server(serve, "0.0.0.0", PORT, limit=HEAD_LIMIT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
