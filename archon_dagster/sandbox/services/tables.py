"""PostgreSQL's tables for the Supabase stand-in, read with ``psql``: as JSON, in transactions that write nothing."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

_WAIT = 5.0  # seconds
_STATE = re.compile(r"ERROR:\s+([0-9A-Z]{5}): (.*)")
_RESERVED = frozenset({"select", "limit", "offset", "order", "apikey"})
_COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE"}


class Refused(Exception):
    """PostgreSQL refused a statement; ``args`` are its SQLSTATE and its message."""


class NoDatabase(Exception):
    """PostgreSQL does not answer; says why."""


class Misread(Exception):
    """A query string that means nothing here; says which part."""


@dataclass(frozen=True)
class Tables:
    """The tables of one database, as the environment names it; ``psql`` is on the path."""

    environment: Mapping[str, str]

    async def names(self) -> str:
        """The names of all tables and views, as a JSON array."""
        return await self._run(
            "SELECT coalesce(json_agg(table_name ORDER BY table_name), '[]') "
            "FROM information_schema.tables WHERE table_schema = 'public';"
        )

    async def rows(self, name: str, query: Mapping[str, str]) -> str:
        """Rows as a JSON array, in PostgREST's query language: ``select``, ``order``, ``limit``, ``offset``, filters.

        :raises Misread: of the query; :raises Refused: by the database; :raises NoDatabase: it does not answer.
        """
        columns = query.get("select", "*")
        chosen = "*" if columns == "*" else ", ".join(_name(one.strip()) for one in columns.split(","))
        filters = [_filter(column, text) for column, text in query.items() if column not in _RESERVED]
        where = f" WHERE {' AND '.join(filters)}" if filters else ""
        order = f" ORDER BY {', '.join(map(_order, query['order'].split(',')))}" if query.get("order") else ""
        limit = f" LIMIT {_number(query['limit'])}" if "limit" in query else ""
        offset = f" OFFSET {_number(query['offset'])}" if "offset" in query else ""
        inner = f"SELECT {chosen} FROM public.{_name(name)}{where}{order}{limit}{offset}"
        return await self._run(f"SELECT coalesce(json_agg(r), '[]') FROM ({inner}) r;")

    async def count(self, name: str) -> int:
        """How many rows a table has."""
        return int(await self._run(f"SELECT count(*) FROM public.{_name(name)};"))

    async def _run(self, statement: str) -> str:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PGHOST": self.environment.get("POSTGRES_HOST", ""),
            "PGPORT": self.environment.get("POSTGRES_PORT", ""),
            "PGUSER": self.environment.get("POSTGRES_USER", ""),
            "PGPASSWORD": self.environment.get("POSTGRES_PASSWORD", ""),
            "PGDATABASE": self.environment.get("POSTGRES_DB", ""),
            "PGCONNECT_TIMEOUT": f"{_WAIT:.0f}",
            "PGOPTIONS": f"-c default_transaction_read_only=on -c statement_timeout={_WAIT:.0f}s",
        }
        psql = await asyncio.create_subprocess_exec(
            "psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            # by standard input: what is asked for does not show in the process list
            said, complaint = await asyncio.wait_for(psql.communicate(statement.encode()), _WAIT)
        except TimeoutError as error:
            raise NoDatabase(f"no answer within {_WAIT:g} s") from error
        finally:
            if psql.returncode is None:
                psql.kill()
                await psql.wait()
        if psql.returncode == 0:
            return said.decode().strip()
        text = complaint.decode(errors="replace")
        if found := _STATE.search(text):
            raise Refused(*found.groups())
        raise NoDatabase(text.strip().splitlines()[0] if text.strip() else f"psql ended with {psql.returncode}")


def _name(text: str) -> str:
    return '"' + text.replace('"', '""').replace("\0", "") + '"'


def _value(text: str) -> str:
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Misread(f"not a number: {text}")
    return int(text)


def _order(text: str) -> str:
    column, _, way = text.partition(".")
    if way not in ("", "asc", "desc"):
        raise Misread(f"failed to parse order ({text})")
    return f"{_name(column)} {way}".strip()


def _filter(column: str, text: str) -> str:
    """``column=eq.value``; ``is.null`` and ``is.true`` too."""
    operator, _, value = text.partition(".")
    if operator == "is" and value in ("null", "true", "false"):
        return f"{_name(column)} IS {value}"
    if operator not in _COMPARISONS:
        raise Misread(f"failed to parse filter ({text})")
    value = value.replace("*", "%") if operator == "like" else value
    return f"{_name(column)} {_COMPARISONS[operator]} {_value(value)}"
