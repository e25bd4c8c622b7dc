"""Text files: tolerant reading (gzip, BOM, CRLF) that names what is broken; atomic writing."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankers.errors import DataError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of every line that is not blank, without line ends and BOM.

    Raises DataError where the file is missing, not UTF-8, or a truncated gzip.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if line.strip(" \t\v\f"):
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 ({error.reason}): convert the file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        where = f"{path}:{number}" if number else str(path)
        raise DataError(f"{where}: broken gzip ({error}): fetch the file again") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def json_row(line: str, where: str) -> Any:
    """The value of one JSON line. DataError, which begins with ``where``, where it is none."""
    try:
        row = json.loads(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as broken:
        raise DataError(f"{where}: not valid JSON ({broken}): mend or remove it") from None
    return row
