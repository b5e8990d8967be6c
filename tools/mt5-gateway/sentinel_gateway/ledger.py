"""The write-ahead ledger: what may have left is written, and on the disk, before it leaves.

A row is never deleted. What is not `sending` has not left. One process owns the ledger; the operating system keeps the lock
and gives it back when the owner dies.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_gateway.clock import Witnessed

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests(
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, parent TEXT, action TEXT NOT NULL, digest TEXT NOT NULL,
    payload TEXT NOT NULL, login INTEGER NOT NULL, server TEXT NOT NULL, hedging INTEGER NOT NULL,
    magic63 INTEGER UNIQUE, comment TEXT, comment_head TEXT, baseline TEXT NOT NULL,
    t_sending INTEGER, interrupted INTEGER NOT NULL, t_session INTEGER, t_final INTEGER,
    state TEXT NOT NULL, ticket INTEGER, record TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS requests_state ON requests(state);
CREATE INDEX IF NOT EXISTS requests_parent ON requests(parent);
CREATE INDEX IF NOT EXISTS requests_ticket ON requests(ticket);
CREATE INDEX IF NOT EXISTS requests_comment ON requests(comment_head);
CREATE TABLE IF NOT EXISTS events(
    n INTEGER PRIMARY KEY, at INTEGER NOT NULL, id TEXT, kind TEXT NOT NULL, data TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""

UNSETTLED = ("sending", "unknown", "placed", "held")


class LedgerBusy(Exception):
    """Another process owns this ledger."""


class NotWritten(Exception):
    """A new row could not be committed, as on a full disk. What it was written for must not happen."""


@dataclass
class Row:
    """One request, and what became of it."""

    id: str
    action: str
    digest: str
    payload: dict[str, Any]
    login: int
    server: str
    hedging: bool
    record: dict[str, Any]
    state: str
    seq: int = 0
    parent: str | None = None
    magic63: int | None = None
    comment: str | None = None
    # Orders that were visible before this one was sent, and the time before which an order cannot be this one.
    baseline: list[int] = field(default_factory=list)
    baseline_before: int | None = None
    t_sending: int | None = None
    # Whether the call was cut off. Then the request may have waited in the pipe until the next session.
    interrupted: bool = False
    t_session: int | None = None
    t_final: int | None = None

    @property
    def is_bar(self) -> bool:
        return self.digest == ""

    @property
    def ticket(self) -> int | None:
        order = self.record.get("order")
        return order if isinstance(order, int) and order else None


class Ledger:
    """SQLite in WAL mode, with `synchronous=FULL`: a commit that returned survives a power cut."""

    def __init__(self, path: Path, synchronous: str = "FULL", wall: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _own(path.with_suffix(".lock"))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        self._db.executescript(SCHEMA)
        if self.meta("ledger") is None:
            self.put_meta("ledger", str(uuid.uuid4()))
        # Greater with each start, and of the time: a store that is restored from a copy must not repeat the number of a start
        # that the copy does not know, because the client takes the same number for proof that nothing was lost since.
        self.boot = max(int(self.meta("boot") or 0) + 1, int(wall() * 1000))
        self.put_meta("boot", self.boot)
        self.seq: int = self._db.execute("SELECT coalesce(max(seq), 0) FROM requests").fetchone()[0]

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    @property
    def name(self) -> str:
        """The store's UUID. A client that saw another one cannot rely on this one's bars."""
        return str(self.meta("ledger"))

    def rename(self, now: int, why: str) -> None:
        """Gives the store a new UUID, because it was seen to lack what it once held."""
        old = self.name
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self.put_meta("ledger", str(uuid.uuid4()))
            self._event(now, None, "renamed", {"old": old, "why": why})

    def meta(self, key: str) -> Any:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def put_meta(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, json.dumps(value)))

    def witnessed(self) -> Witnessed | None:
        """The newest time that an earlier process is known to have seen."""
        stored = self.meta("clock")
        return None if stored is None else Witnessed(**stored)

    def note(self, now: int, id: str | None, kind: str, **data: Any) -> None:
        """Appends an event that changes no row."""
        self._event(now, id, kind, data)

    def add(self, now: int, row: Row) -> Row:
        """Commits a new row. `sqlite3.IntegrityError` where id or magic number exist, `NotWritten` where the disk fails."""
        row.seq = self.seq + 1
        try:
            self._insert(now, row)
        except sqlite3.OperationalError as error:
            raise NotWritten(f"the ledger cannot be written: {error}") from error
        self.seq = row.seq
        return row

    def _insert(self, now: int, row: Row) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO requests(id, seq, parent, action, digest, payload, login, server, hedging, magic63, comment,"
                " comment_head, baseline, t_sending, interrupted, t_session, t_final, state, ticket, record)"
                " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (row.id, row.seq, row.parent, row.action, row.digest, json.dumps(row.payload), row.login, row.server)
                + (row.hedging, row.magic63, row.comment, row.comment and row.comment[:15])
                + (json.dumps({"tickets": row.baseline, "before": row.baseline_before}), row.t_sending, row.interrupted)
                + (row.t_session, row.t_final, row.state, row.ticket, json.dumps(row.record)),
            )
            self._event(now, row.id, row.state, {"action": row.action, "text": row.record.get("text")})

    def update(self, now: int, row: Row) -> None:
        """Commits what became of a row."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "UPDATE requests SET t_sending=?, interrupted=?, t_session=?, t_final=?, state=?, ticket=?, record=? WHERE id=?",
                (row.t_sending, row.interrupted, row.t_session, row.t_final, row.state, row.ticket)
                + (json.dumps(row.record), row.id),
            )
            self._event(now, row.id, row.state, {"text": row.record.get("text"), "order": row.record.get("order")})

    def session_began(self, now: int) -> None:
        """A new session of the terminal answered: what was left in the old one's pipe is older than this."""
        self._db.execute("UPDATE requests SET t_session=? WHERE interrupted=1 AND t_session IS NULL", (now,))

    def get(self, id: str) -> Row | None:
        return self._one("id = ?", (id,))

    def children(self, parent: str) -> list[Row]:
        return self._many("parent = ? ORDER BY seq", (parent,))

    def in_states(self, states: Iterable[str]) -> list[Row]:
        states = tuple(states)
        return self._many(f"state IN ({','.join('?' * len(states))}) ORDER BY seq", states)

    def final_since(self, states: Iterable[str], since: int) -> list[Row]:
        states = tuple(states)
        return self._many(f"state IN ({','.join('?' * len(states))}) AND t_final >= ? ORDER BY seq", (*states, since))

    def count(self, states: Iterable[str]) -> int:
        states = tuple(states)
        asked = f"SELECT count(*) FROM requests WHERE state IN ({','.join('?' * len(states))})"
        return int(self._db.execute(asked, states).fetchone()[0])

    def by_magic63(self, magic63: int) -> Row | None:
        # Only positive numbers of 63 bits are ours.
        return self._one("magic63 = ?", (magic63,)) if 0 < magic63 < 1 << 63 else None

    def by_ticket(self, ticket: int) -> Row | None:
        return self._one("ticket = ?", (ticket,))

    def by_comment(self, head: str) -> Row | None:
        return self._one("comment_head = ?", (head,))

    def newest_order(self, login: int, server: str) -> tuple[int, int] | None:
        """The newest order that the broker is known to have, and when it was sent."""
        found = self._db.execute(
            "SELECT ticket, t_sending FROM requests WHERE ticket IS NOT NULL AND login = ? AND server = ?"
            " AND state = 'done' AND t_sending IS NOT NULL ORDER BY ticket DESC LIMIT 1",
            (login, server),
        ).fetchone()
        return None if found is None else (found[0], found[1])

    def _one(self, where: str, values: tuple[Any, ...]) -> Row | None:
        found = self._db.execute(f"SELECT * FROM requests WHERE {where} LIMIT 1", values).fetchone()
        return None if found is None else _row(found)

    def _many(self, where: str, values: tuple[Any, ...]) -> list[Row]:
        return [_row(found) for found in self._db.execute(f"SELECT * FROM requests WHERE {where}", values)]

    def _event(self, now: int, id: str | None, kind: str, data: dict[str, Any]) -> None:
        self._db.execute("INSERT INTO events(at, id, kind, data) VALUES(?, ?, ?, ?)", (now, id, kind, json.dumps(data)))


def _row(found: sqlite3.Row) -> Row:
    baseline = json.loads(found["baseline"])
    return Row(
        id=found["id"],
        action=found["action"],
        digest=found["digest"],
        payload=json.loads(found["payload"]),
        login=found["login"],
        server=found["server"],
        hedging=bool(found["hedging"]),
        record=json.loads(found["record"]),
        state=found["state"],
        seq=found["seq"],
        parent=found["parent"],
        magic63=found["magic63"],
        comment=found["comment"],
        baseline=baseline["tickets"],
        baseline_before=baseline["before"],
        t_sending=found["t_sending"],
        interrupted=bool(found["interrupted"]),
        t_session=found["t_session"],
        t_final=found["t_final"],
    )


def _own(path: Path) -> int:
    """Locks the file for as long as this process lives."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise LedgerBusy(f"{path} is locked: another gateway runs with this state") from error
    return file
