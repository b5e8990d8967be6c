"""ORDER_STATUS, and the bar against late messages.

A question about an id that the ledger does not hold writes a tombstone: should the message arrive after all, it is refused.
That proves absence only where the ledger held everything from the moment of sending on.
"""

from decimal import Decimal

from sentinel_gateway.carriers import comment_of, magic63_of
from sentinel_gateway.clock import Clock, ServerTime
from sentinel_gateway.killpoints import KillPoint
from sentinel_gateway.ledger import UNSETTLED, Ledger, Row
from sentinel_gateway.protocol import Guard, Refusal, Request
from sentinel_gateway.record import new_record, set_state
from sentinel_gateway.settling import Settler
from sentinel_gateway.terminal import Terminal, Unavailable
from sentinel_gateway.wanted import wanted_of

# An order set up this long before its message was sent is another one; clocks differ.
SETUP_SLACK_MS = 60_000


class Status:
    def __init__(
        self, ledger: Ledger, terminal: Terminal, settler: Settler, clock: Clock, time: ServerTime, kill: KillPoint
    ) -> None:
        self._ledger = ledger
        self._terminal = terminal
        self._settler = settler
        self._clock = clock
        self._time = time
        self._kill = kill

    def ask(self, request: Request) -> Row:
        """The row about an id, after one more look where it is open."""
        about = request.payload["about"]
        complete = self._holds_everything(request)
        row = self._ledger.get(about)
        if row is None:
            row = self._bar(request) if complete else self._doubt(request)
        if row.state in UNSETTLED:
            self._settler.settle(row.id)
            row = self._ledger.get(about) or row
        return row

    def _holds_everything(self, request: Request) -> bool:
        """Whether the store is the one of the sending, and lacks nothing of what the client saw in it."""
        if request.seen is not None and request.seen > self._ledger.seq and request.ledger == self._ledger.name:
            self._ledger.rename(self._clock.now(), f"a client saw seq {request.seen}, the store ends at {self._ledger.seq}")
            return False
        return bool(request.payload["ledger_at_send"] == self._ledger.name)

    def _bar(self, request: Request) -> Row:
        row = self._new_row(request, request.guard, login=0, server="")
        set_state(row.record, "absent", proof="barred", text="this store never saw the id and refuses it from now on")
        row.state, row.t_final = "absent", self._clock.now()
        self._ledger.add(row.t_final, row)
        self._kill("barred")
        return row

    def _doubt(self, request: Request) -> Row:
        """The id is barred all the same, and evidence says what became of it."""
        guard = request.guard
        if guard is None:
            try:
                if not self._terminal.attach():
                    raise Refusal("not_ready", "the terminal does not answer, and the question names no account")
                account = self._terminal.account()
            except Unavailable as error:
                raise Refusal("not_ready", str(error)) from error
            guard = Guard(account.login, account.server, account.trade_mode, account.margin_mode)
        row = self._new_row(request, guard, guard.login, guard.server)
        row.hedging = guard.margin_mode == "hedging"
        row.t_sending = request.payload["expires_at"]
        row.interrupted = True
        row.t_session = self._clock.now()
        if self._time.offset is not None:
            server_ms = request.payload["sent_at"] + self._time.offset.offset_s * 1000
            row.baseline_before = server_ms - SETUP_SLACK_MS
        set_state(row.record, "unknown", sent=True, text="another store may know this id: it is settled by evidence")
        row.state = "unknown"
        if row.action == "FLATTEN" or wanted_of(row) is None:
            text = "another store may know this id, and the question does not say what to look for: see POSITIONS"
            set_state(row.record, "held", sent=True, text=text, candidates=[])
            row.state = "held"
        return self._ledger.add(self._clock.now(), row)

    def _new_row(self, request: Request, guard: Guard | None, login: int, server: str) -> Row:
        about, said = request.payload["about"], dict(request.payload["order"])
        action = said["action"]
        magic63 = comment = None
        if action in ("OPEN", "CLOSE"):
            comment = comment_of(about)
            if said.get("magic") is not None:
                magic63 = magic63_of(about, said["magic"])
        if magic63 is not None and self._ledger.by_magic63(magic63) is not None:
            magic63 = None
        if said.get("ticket") is not None:
            said["identifier"] = said["ticket"]
        if said.get("volume") is not None:
            said["volume"] = f"{Decimal(said['volume']):f}"
        return Row(
            id=about,
            action=action,
            digest="",
            payload=said,
            login=guard.login if guard else login,
            server=guard.server if guard else server,
            hedging=True,
            record=new_record("unknown", said, magic63, comment),
            state="unknown",
            magic63=magic63,
            comment=comment,
        )
