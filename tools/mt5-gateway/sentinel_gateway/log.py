"""The gateway's log: one JSON object per line, ten files of ten megabytes."""

import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE_BYTES = 10_000_000
FILES = 10


class Log:
    def __init__(self, directory: Path | None = None, to_stderr: bool = True) -> None:
        self._logger = logging.Logger("sentinel-gateway")
        self._logger.addHandler(logging.NullHandler())
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / "gateway.log"
            handler = logging.handlers.RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8")
            self._logger.addHandler(handler)
        if to_stderr:
            self._logger.addHandler(logging.StreamHandler(sys.stderr))

    def info(self, message: str, /, **fields: Any) -> None:
        self._write(logging.INFO, message, fields)

    def alarm(self, message: str, /, **fields: Any) -> None:
        """For what a person must look at."""
        self._write(logging.ERROR, message, fields)

    def _write(self, level: int, message: str, fields: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": logging.getLevelName(level).lower(), "message": message, **fields}
        self._logger.log(level, "%s", json.dumps(line, default=str))
