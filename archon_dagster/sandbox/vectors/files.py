"""Small files that must never be half written."""

import json
import os
from pathlib import Path
from typing import Any

UNFINISHED = ".new"


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file as a whole: a reader, or a restart after a crash, sees the old or the new one."""
    write_bytes(path, compact(content))


def write_bytes(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}{UNFINISHED}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def compact(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
