"""The Docker engine's API, cut down to the calls that the control plane makes.

Written here because the usual proxies break ``docker exec``: they drop the upgrade of a request with a body, or take
the end of the command's input for the end of the connection. This one looks at the head of a request and then only
moves bytes, each direction ending by itself. A connection carries one request: the engine is told to close it, so
nothing can follow an allowed request unseen.

It keeps mistakes away from volumes and other people's things: the only volumes and networks that can be removed are
those of restore drills, by their names. It is no wall: whoever may create a container, or run a command in one, can be
root on the host.
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
_IMAGE = r"images/sha256:[0-9a-f]{64}"  # by its id: a name might stand for another one a moment later
_DRILL = rf"[a-z0-9][a-z0-9_-]*-restore-drill-[0-9a-f]{{8}}_{_NAME}"  # made for a drill, and goes with it
ALLOWED: dict[str, tuple[str, ...]] = {
    "HEAD": ("_ping",),
    "GET": (  # whatever only looks
        "_ping", "version", "info", "events", "services", "(containers|images)/json",
        rf"containers/{_NAME}/(json|logs|stats)", rf"(networks|volumes)(/{_NAME})?", rf"exec/{_NAME}/json",
        "images/.+/json",
    ),
    "POST": (
        "(containers|networks|volumes)/create",
        rf"containers/{_NAME}/(start|stop|pause|unpause|rename)",
        rf"containers/{_NAME}/kill",  # one signal only: see `wakes`
        rf"containers/{_NAME}/exec", rf"exec/{_NAME}/start",
        rf"networks/{_NAME}/(connect|disconnect)",
        "images/create", "build", "session", "grpc",  # pull; the two builders
        f"{_IMAGE}/tag",  # the way back of an update
    ),
    "DELETE": (
        rf"containers/{_NAME}",
        _IMAGE,  # one that nothing uses: see `spares`
        rf"(networks|volumes)/{_DRILL}",
    ),
}  # fmt: skip


def allowed(method: str, target: str) -> bool:
    """Whether this request is one of those that are made."""
    if "#" in target:  # what follows would not be looked at here, and might be there
        return False
    parts = urlsplit(target)
    call = re.fullmatch(r"(?:/v[0-9.]+)?/(.*)", parts.path)
    if call is None or not any(re.fullmatch(pattern, call[1]) for pattern in ALLOWED.get(method, ())):
        return False
    if call[1].endswith("/kill"):
        return wakes(parts.query)
    return method != "DELETE" or spares(call[1], parts.query)


def wakes(query: str) -> bool:
    """Whether a signal only lets a container go on; without a name the engine sends the one that kills."""
    return parse_qs(query, keep_blank_values=True) == {"signal": ["SIGCONT"]}


def spares(what: str, query: str) -> bool:
    """Whether a removal leaves alone what goes on being used: the volumes of a container, and whatever is in use.

    The engine refuses to remove an image, a network or a volume that a container has, unless it is forced to.
    """
    asked = parse_qs(query, keep_blank_values=True)
    kept = "v" if what.startswith("containers/") else "force"
    return all(value.lower() in ("0", "false") for value in asked.get(kept, []))


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
