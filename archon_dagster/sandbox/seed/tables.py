"""Write the sample rows with ``psql``, streamed as ``COPY`` text in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any, BinaryIO

from archon_dagster.errors import ServiceError, StoreError
from archon_dagster.platform.runtime.protocol import Runtime
from archon_dagster.platform.settings import Settings
from archon_dagster.sandbox.seed.table_rows import Row

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_DEADLINE = 60.0  # seconds from the last byte sent to the end of psql


def write_tables(settings: Settings, runtime: Runtime, tables: Mapping[str, Iterable[Row]]) -> dict[str, int]:
    """Make the tables where they are missing and replace their rows; returns the rows of each. All or nothing."""
    command = [
        "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction",
        f"--username={settings.postgres_user}", f"--dbname={settings.postgres_db}", "--output=/dev/null",
    ]  # fmt: skip
    password = settings.postgres_password
    env = {"PGCLIENTENCODING": "UTF8", "PGOPTIONS": "--client-min-messages=warning"}
    env |= {"PGPASSWORD": password.get_secret_value()} if password else {}
    with runtime.exec("postgres", command, env=env) as psql:
        try:
            written = _send(psql.stdin, tables)
            psql.stdin.close()
        except OSError as error:  # psql has ended: its exit code and its last words say why
            _raise(psql.stderr_tail(), error)
        try:
            code = psql.wait(_DEADLINE)
        except ServiceError as error:
            _raise(psql.stderr_tail(), error)
        if code != 0:
            _raise(psql.stderr_tail(), None)
    return written


def _send(stdin: BinaryIO, tables: Mapping[str, Iterable[Row]]) -> dict[str, int]:
    stdin.write(files(__package__).joinpath("schema.sql").read_bytes())
    stdin.write(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY;\n".encode())
    written: dict[str, int] = {}
    for table, rows in tables.items():
        written[table] = 0
        for line in _copy(table, rows):
            stdin.write(line)
            written[table] += 1
        stdin.write(b"\\.\n" if written[table] else b"")
        written[table] = max(0, written[table] - 1)
        if table in ("archon_crawled_pages", "archon_code_examples"):  # their ids come from a sequence
            highest = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {max(1, written[table])});\n"
            stdin.write(highest.encode())
    return written


def _copy(table: str, rows: Iterable[Row]) -> Iterator[bytes]:
    """The ``COPY`` statement, then a line for each row; every row of a table has the columns it needs, or fewer."""
    listed = list(rows)
    if not listed:
        return
    columns = list(dict.fromkeys(column for row in listed for column in row))
    yield f"COPY {table} ({', '.join(columns)}) FROM stdin;\n".encode()
    for row in listed:
        yield ("\t".join(copy_field(row.get(column, _DEFAULTS.get(column))) for column in columns) + "\n").encode()


_DEFAULTS: dict[str, Any] = {"is_encrypted": False}


def copy_field(value: Any) -> str:
    """A value in ``COPY`` text; text is escaped once more after its type's own notation."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(item, str) for item in value) and value:
        return _array(value).translate(_ESCAPES)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False).translate(_ESCAPES)
    return str(value).translate(_ESCAPES)


def _array(items: list[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in quoted) + "}"


def _raise(last_words: str, cause: BaseException | None) -> None:
    raise StoreError(
        f"the sample rows were not written: {last_words.strip() or 'psql was ended'}",
        where="postgres",
        todo="see whether the service runs (archon sandbox status); nothing was changed in the database",
    ) from cause
