"""The broker's truth: events that are only ever appended."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = "CREATE TABLE IF NOT EXISTS truth(seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL)"


class Truth:
    """Without `synchronous`: it must outlive a killed process, not a power cut."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(SCHEMA)

    def append(self, at: float, kind: str, data: dict[str, Any]) -> None:
        self._db.execute("INSERT INTO truth(at, kind, data) VALUES(?, ?, ?)", (at, kind, json.dumps(data)))

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        for at, kind, data in self._db.execute("SELECT at, kind, data FROM truth ORDER BY seq"):
            yield at, kind, json.loads(data)


class NoTruth(Truth):
    """Keeps events in memory, for runs in simulated time."""

    def __init__(self) -> None:
        self._events: list[tuple[float, str, dict[str, Any]]] = []

    def append(self, at: float, kind: str, data: dict[str, Any]) -> None:
        self._events.append((at, kind, data))

    def events(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        return iter(list(self._events))
