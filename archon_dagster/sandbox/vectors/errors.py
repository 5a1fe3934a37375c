"""What the server answers when it cannot do what was asked: the real server's status codes and texts.

These travel over HTTP to whoever made the request, so they carry a status and Qdrant's wording instead of the
four answers an operator's error gives.

ServerError
 ├── NotFound          404
 ├── Conflict          409  a name is taken
 ├── WrongInput        400  understood, but does not fit the data
 ├── BadRequest        400  cannot be carried out as asked
 ├── ChecksumMismatch  400
 ├── FormatError       400  the body is not what the route takes
 ├── ValidationError   422  a value is out of its range
 ├── InvalidPath       422  a name in the address is not allowed
 ├── Forbidden         403
 └── InternalError     500  what a damaged or dead collection answers
"""

from collections.abc import Iterator
from contextlib import contextmanager

PANIC = "PanicException"
"""What a panic of the engine becomes in Python: not an ``Exception``, and of a class that cannot be imported."""


class ServerError(Exception):
    """An answer that is not a success."""

    status = 500
    prefix = ""

    def __init__(self, message: str):
        self.detail = message
        super().__init__(f"{self.prefix}{message}")


class NotFound(ServerError):
    status, prefix = 404, "Not found: "


class Conflict(ServerError):
    status, prefix = 409, "Wrong input: "


class WrongInput(ServerError):
    status, prefix = 400, "Wrong input: "


class BadRequest(ServerError):
    status, prefix = 400, "Bad request: "


class ChecksumMismatch(ServerError):
    status, prefix = 400, "Checksum mismatch: "


class FormatError(ServerError):
    status, prefix = 400, "Format error in JSON body: "


class ValidationError(ServerError):
    status, prefix = 422, "Validation error in JSON body: "


class InvalidPath(ServerError):
    status, prefix = 422, "Validation error in path parameters: "


class Forbidden(ServerError):
    status, prefix = 403, "Forbidden: "


class InternalError(ServerError):
    status, prefix = 500, "Service internal error: "


class CannotStart(Exception):
    """The storage is so damaged that the real server would panic at start, and so does this one."""


def collection_not_found(name: str) -> NotFound:
    return NotFound(f"Collection `{name}` doesn't exist!")


def collection_exists(name: str) -> Conflict:
    return Conflict(f"Collection `{name}` already exists!")


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn what the engine raises, plain exceptions for the most part, into the server's answers."""
    try:
        yield
    except ServerError:
        raise
    except Exception as error:
        raise from_engine(error) from error
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise InternalError(f"panicked: {error}") from error


def from_os(error: OSError) -> InternalError:
    """The server's answer where the file system refuses: a full disk, a name too long to be one."""
    return InternalError(f"{error.strerror} (os error {error.errno})")


def from_engine(error: Exception) -> ServerError:
    """The server's answer to an error of the storage engine, which only has texts and no types."""
    text = str(error)
    if isinstance(error, TypeError | ValueError | OverflowError):
        return FormatError(text)
    if text.startswith("No point with id"):
        return NotFound(f"{text} found")
    if text.startswith(("Service runtime error: ", "IO Error", "Out of memory")):
        return InternalError(text.removeprefix("Service runtime error: "))
    return WrongInput(text)
