"""What is remembered between looks at the terminal.

It dies with the process: a restart therefore waits anew and never concludes too early. It is measured on the steady clock,
because a wall clock that somebody sets forward must not make a minute into an hour.
"""

from collections.abc import Iterable

from sentinel_gateway.clock import Clock
from sentinel_gateway.facts import Account
from sentinel_gateway.ledger import Row


class Memory:
    """Milliseconds of the steady clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.connected_since: int | None = None
        self.synced_since: int | None = None
        self._account: tuple[int, str] | None = None
        self._nothing_since: dict[str, int] = {}
        self._waiting: dict[str, tuple[int | None, int]] = {}

    def saw_connection(self, connected: bool, account: Account | None) -> None:
        """Another account, or a moment without a connection, begins everything anew."""
        key = (account.login, account.server) if account else None
        if connected and key == self._account and self.connected_since is not None:
            return
        self._nothing_since.clear()
        self.synced_since = None
        self._account = key
        self.connected_since = self._clock.steady() if connected else None

    def session_began(self) -> None:
        self.connected_since = None

    def connected_for(self) -> int | None:
        return None if self.connected_since is None else self._clock.steady() - self.connected_since

    def waiting_since(self, row: Row) -> int:
        """Since when this process waits for the row, or for what the session before may have left of it."""
        session, since = self._waiting.get(row.id, (None, -1))
        if since < 0 or session != row.t_session:
            since = self._clock.steady()
            self._waiting[row.id] = (row.t_session, since)
        return since

    def nothing_since(self, row: Row) -> int | None:
        return self._nothing_since.get(row.id)

    def looked(self, row: Row, nothing: bool) -> None:
        """Whether this look found nothing, and could have."""
        if nothing:
            self._nothing_since.setdefault(row.id, self._clock.steady())
        else:
            self._nothing_since.pop(row.id, None)

    def keep_only(self, rows: Iterable[Row]) -> None:
        """Forgets the rows that nobody asks about any more."""
        ids = {row.id for row in rows}
        self._nothing_since = {id: since for id, since in self._nothing_since.items() if id in ids}
        self._waiting = {id: since for id, since in self._waiting.items() if id in ids}
