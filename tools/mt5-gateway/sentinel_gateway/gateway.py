"""One request in, one reply out. Everything happens in one thread, one thing after the other."""

from typing import Any

from sentinel_gateway.clock import Clock, DstRule, Offset, ServerTime
from sentinel_gateway.effects import Effects, Intent
from sentinel_gateway.flatten import Flatten
from sentinel_gateway.guard import Expected
from sentinel_gateway.killpoints import KillPoint
from sentinel_gateway.ledger import UNSETTLED, Ledger, NotWritten, Row
from sentinel_gateway.log import Log
from sentinel_gateway.protocol import (
    EFFECTS,
    EXPIRY_AHEAD_MAX_MS,
    Refusal,
    Request,
    Stamp,
    answer,
    decode,
    parse,
    refuse,
)
from sentinel_gateway.reads import Reads
from sentinel_gateway.settling import Settler
from sentinel_gateway.status import Status
from sentinel_gateway.terminal import Terminal
from sentinel_gateway.waits import Waits
from sentinel_gateway.watch import Watch


class Gateway:
    def __init__(
        self,
        mt5: Any,
        ledger: Ledger,
        clock: Clock,
        waits: Waits,
        watch: Watch,
        log: Log,
        *,
        path: str | None = None,
        expected: Expected | None = None,
        rule: DstRule | None = None,
        kill: KillPoint | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self.kill = kill or KillPoint("")
        stored = ledger.meta("offset")
        time = ServerTime(rule, Offset(**stored) if stored else None)
        self.terminal = Terminal(mt5, path, clock, waits, watch)
        self.settler = Settler(ledger, self.terminal, clock, waits, time, log)
        expected = expected or Expected()
        effects = Effects(ledger, self.terminal, self.settler, clock, waits, expected, self.kill)
        self._effects = effects
        self._flatten = Flatten(ledger, self.terminal, effects, self.settler, clock)
        self._status = Status(ledger, self.terminal, self.settler, clock, time, self.kill)
        self._reads = Reads(ledger, self.terminal, self.settler, clock, time, expected)
        self.settler.boot()

    def idle(self) -> None:
        """What is due between requests."""
        if not self.settler.is_due():
            return
        if self._ledger.count(UNSETTLED) == 0:
            self.settler.poll()
        self.settler.settle()

    def handle(self, raw: bytes) -> bytes:
        """The reply to one message. Whatever the message is, there is one."""
        self.kill("received")
        said: dict[str, Any] = {}
        try:
            said = decode(raw)
            request = parse(said)
            data = self._data(request)
            self.kill("replying")
            return answer(self._stamp(), request, data)
        except NotWritten as error:
            # Only new rows are told so. A row that was sent for and cannot be updated ends the process, and evidence settles it.
            self._log.alarm("the ledger cannot be written", error=str(error))
            return refuse(self._stamp(), said.get("id"), said.get("action"), Refusal("not_ready", str(error)))
        except Refusal as refusal:
            action = said.get("action")
            if isinstance(action, str) and action in EFFECTS:
                tell = self._log.alarm if refusal.lasting else self._log.info
                tell("an order is refused and did nothing", id=said.get("id"), code=refusal.code, text=refusal.text)
            return refuse(self._stamp(), said.get("id"), said.get("action"), refusal)

    def _data(self, request: Request) -> dict[str, Any]:
        if request.ledger is not None and request.ledger != self._ledger.name:
            raise Refusal("other_ledger", f"this is ledger {self._ledger.name}: say HELLO first")
        if request.action == "ORDER_STATUS":
            about = self._status.ask(request)
            if about.action == "FLATTEN" and not about.is_bar:
                return _shown(self._flatten.told(about))
            return _shown(about.record)
        if not request.is_effect:
            return self._reads.answer(request)
        if request.seen is not None and request.seen > self._ledger.seq:
            why = f"a client saw seq {request.seen}, and the store ends at {self._ledger.seq}"
            self._log.alarm("the ledger was rolled back", why=why)
            self._ledger.rename(self._clock.now(), why)
            raise Refusal("ledger_rolled_back", f"{why}: say HELLO first")
        row = self._ledger.get(request.id)
        if row is not None:
            return self._replay(row, request)
        if request.expires_at > self._clock.now() + EXPIRY_AHEAD_MAX_MS:
            raise Refusal("bad_expiry", "expires_at is more than 60 s ahead by this gateway's clock")
        self._log.info("an order arrives", id=request.id, action=request.action)
        if request.action == "FLATTEN":
            return _shown(self._flatten.perform(request))
        record = self._effects.perform(Intent.of(request))
        self._log.info("an order was handled", id=request.id, state=record["state"], text=record["text"])
        return _shown(record)

    def _replay(self, row: Row, request: Request) -> dict[str, Any]:
        """The same message again changes nothing. A message that was barred is refused for ever."""
        if row.is_bar:
            barred = {"state": "refused", "final": True, "sent": False, "proof": "barred", "filled": "0"}
            return _shown(row.record) | barred | {"text": "this message came after it was declared lost"}
        if row.digest != request.digest or row.action != request.action:
            text = "this id was used for another request"
            raise Refusal("id_conflict", text, lasting=True, data=_shown(row.record))
        if row.action == "FLATTEN":
            return _shown(self._flatten.told(row)) | {"replayed": True}
        return _shown(row.record) | {"replayed": True}

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.now(), self._ledger.name, self._ledger.boot, self._ledger.seq)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A Record as the client sees it: what is being sent is unknown."""
    return record | {"state": "unknown"} if record["state"] == "sending" else dict(record)
