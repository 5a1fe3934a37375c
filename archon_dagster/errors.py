"""Errors an operator sees.

ArchonError
 ├── ConfigurationError        the settings are wrong; nothing was touched
 ├── ConfirmationMissing       a destructive action was not confirmed; nothing was touched
 ├── Cancelled                 stopped on request; what was begun has been cleaned up
 ├── ServiceError              a service could not be started, stopped or reached; carries its last log lines
 ├── RepositoryError           the backup repository could not be read or written
 │    ├── RepositoryMissing    there is none at its address
 │    ├── BackupNotFound       no backup matches the selector
 │    ├── DamagedBackup        names the backup, the artifact and the chunk
 │    └── RepositoryBusy       names the holder of the lock and since when
 │         └── LockLost        this process's lease ran out and somebody else may work now
 ├── StoreError                names the store, the address and the operation
 │    ├── StoreUnavailable     it does not answer
 │    └── VersionMismatch      the backup's and the server's versions do not go together
 └── RestoreFailed             says which step failed and what was put back

A message answers: what failed, where, what was tried, what to do next.
"""


class ArchonError(Exception):
    """Base of every error this package raises on purpose.

    :param what: what failed, one sentence.
    :param where: address, file, service, backup… it failed at.
    :param tried: what was tried before giving up.
    :param todo: what the operator can do next.
    """

    def __init__(self, what: str, *, where: str | None = None, tried: str | None = None, todo: str | None = None):
        self.what, self.where, self.tried, self.todo = what, where, tried, todo
        super().__init__(what, where, tried, todo)

    def __str__(self) -> str:
        lines = [self.what if self.where is None else f"{self.what} ({self.where})"]
        if self.tried:
            lines.append(f"tried: {self.tried}")
        if self.todo:
            lines.append(f"what to do: {self.todo}")
        return "\n".join(lines)


class ConfigurationError(ArchonError):
    """The settings are wrong; nothing was touched."""


class ConfirmationMissing(ArchonError):
    """A destructive action was not confirmed; nothing was touched."""


class Cancelled(ArchonError):
    """Stopped on request; what was begun has been cleaned up."""


class ServiceError(ArchonError):
    """A service could not be started, stopped or reached; the message ends with its last log lines."""


class RepositoryError(ArchonError):
    """The backup repository could not be read or written."""


class RepositoryMissing(RepositoryError):
    """There is no repository at the address."""


class BackupNotFound(RepositoryError):
    """No backup matches the selector."""


class DamagedBackup(RepositoryError):
    """A backup is not what was written; names the backup, the artifact and the chunk."""


class RepositoryBusy(RepositoryError):
    """Somebody else holds the lock; names the holder and since when."""


class LockLost(RepositoryBusy):
    """This process's lease ran out, so somebody else may be at work: stop without another write."""


class StoreError(ArchonError):
    """An operation on a store failed; names the store, the address and the operation."""


class StoreUnavailable(StoreError):
    """The store does not answer."""


class VersionMismatch(StoreError):
    """The versions of the backup and of the server do not go together."""


class RestoreFailed(ArchonError):
    """A restore did not complete; says which step failed and what was put back."""
