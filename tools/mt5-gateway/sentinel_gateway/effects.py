"""What changes the account: checked, written down, and sent once.

The order of steps is the promise: everything that can refuse comes before the commit of `sending`, guard and expiry are asked
again after it, then `order_send` is called once. Whatever ends the process in between, the ledger says what may have left.
"""

import sqlite3
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sentinel_gateway import guard as guards
from sentinel_gateway import rules
from sentinel_gateway.carriers import comment_of, magic63_of
from sentinel_gateway.clock import Clock
from sentinel_gateway.facts import Account, Position, Symbol, Tick, opposite
from sentinel_gateway.killpoints import KillPoint
from sentinel_gateway.ledger import Ledger, NotWritten, Row
from sentinel_gateway.protocol import Guard, Refusal, Request
from sentinel_gateway.record import new_record, set_state
from sentinel_gateway.resolver import levels_of
from sentinel_gateway.retcodes import DONE, LASTING, NOTHING_WRITTEN, PASSING, Outcome, classify, classify_none
from sentinel_gateway.settling import Settler
from sentinel_gateway.terminal import Terminal, Unavailable
from sentinel_gateway.waits import Waits
from sentinel_gateway.wanted import asked_levels, lasting_number, like_volume, told_done

ACTION_DEAL, ACTION_SLTP = 1, 6
TYPE = {"buy": 0, "sell": 1}
GOOD_TILL_CANCELLED = 0


@dataclass
class Intent:
    """One effect on its way: what the client asked, and what will be sent for it."""

    id: str
    action: str
    digest: str
    payload: dict[str, Any]
    expires_at: int
    guard: Guard
    parent: str | None = None
    magic63: int | None = None
    comment: str | None = None
    filling: str | None = None
    request: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(request: Request) -> "Intent":
        assert request.guard is not None
        payload = dict(request.payload)
        intent = Intent(request.id, request.action, request.digest, payload, request.expires_at, request.guard)
        intent.carry()
        return intent

    def carry(self) -> None:
        if self.action in ("OPEN", "CLOSE"):
            self.magic63 = magic63_of(self.id, self.payload["magic"])
            self.comment = comment_of(self.id)


class Refused(Exception):
    """A rule that refuses the order before anything leaves. It becomes a Record."""

    def __init__(self, text: str, proof: str = "rules", *, lasting: bool = True, retcode: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.proof = proof
        self.lasting = lasting
        self.retcode = retcode


class Effects:
    def __init__(
        self,
        ledger: Ledger,
        terminal: Terminal,
        settler: Settler,
        clock: Clock,
        waits: Waits,
        expected: guards.Expected,
        kill: KillPoint,
    ) -> None:
        self._ledger = ledger
        self._terminal = terminal
        self._settler = settler
        self._clock = clock
        self._waits = waits
        self._expected = expected
        self._kill = kill

    def perform(self, intent: Intent) -> dict[str, Any]:
        """The Record of a new OPEN, CLOSE or MODIFY. `Refusal` where nothing was done and nothing is known."""
        late = guards.expired(intent.expires_at, self._clock.now())
        try:
            if late:
                raise Refused(late, "expired", lasting=False)
            if intent.magic63 is not None and self._ledger.by_magic63(intent.magic63):
                raise Refused("another id has the same tag: begin again with a new id", "tag_collision")
            account = self.ready(intent.guard)
            self._permitted(account)
            prepare = {"OPEN": self._prepare_open, "CLOSE": self._prepare_close, "MODIFY": self._prepare_modify}
            prepare[intent.action](intent, account)
            self._check(intent)
        except Refused as refused:
            return self._refuse(intent, refused)
        except Unavailable as error:
            raise Refusal("not_ready", str(error)) from error
        self._kill("checked")
        return self._send(intent, account)

    def ready(self, guard: Guard) -> Account:
        """The account, if the terminal is connected to the one that the client means."""
        try:
            if not self._terminal.attach():
                raise Refusal("not_ready", f"the terminal does not answer: {self._terminal.last_error[1]}")
            if not self._terminal.terminal_info().connected:
                raise Refusal("not_ready", "the terminal has no connection to its server")
            account = self._terminal.account()
        except Unavailable as error:
            raise Refusal("not_ready", str(error)) from error
        wrong = guards.mismatch(guard, account) or guards.unexpected(self._expected, account)
        if wrong:
            raise Refusal("account_mismatch", wrong, lasting=True)
        return account

    def _permitted(self, account: Account) -> None:
        missing = guards.forbidden(self._terminal.terminal_info(), account)
        if missing:
            raise Refused(missing[1], "permission", retcode=missing[0])

    def _prepare_open(self, intent: Intent, account: Account) -> None:
        del account
        payload = intent.payload
        symbol, tick = self._market(payload["symbol"])
        side = payload["side"]
        volume = Decimal(payload["volume"])
        sl, tp = asked_levels(payload)
        complaint = (
            rules.side_complaint(symbol, side, closing=False)
            or rules.volume_complaint(symbol, volume)
            or rules.grid_complaint(symbol, sl, tp)
        )
        if complaint:
            raise Refused(complaint)
        _far_enough(symbol, tick, side, sl, tp)
        self._deal(intent, symbol, tick, side)
        intent.request |= {"sl": float(sl or 0), "tp": float(tp or 0)}

    def _prepare_close(self, intent: Intent, account: Account) -> None:
        payload = intent.payload
        position = self._position(payload, account)
        symbol, tick = self._market(payload["symbol"])
        side = opposite(position.side)
        complaint = rules.side_complaint(symbol, side, closing=True) or rules.volume_complaint(
            symbol, Decimal(payload["volume"]), position.volume
        )
        if complaint:
            raise Refused(complaint)
        payload |= {"side": side, "identifier": position.identifier}
        self._deal(intent, symbol, tick, side)
        intent.request["position"] = position.ticket

    def _prepare_modify(self, intent: Intent, account: Account) -> None:
        payload = intent.payload
        position = self._position(payload, account)
        symbol, tick = self._market(payload["symbol"])
        sl, tp = asked_levels(payload)
        complaint = rules.grid_complaint(symbol, sl, tp)
        if complaint:
            raise Refused(complaint)
        _far_enough(symbol, tick, position.side, sl, tp)
        payload["identifier"] = position.identifier
        intent.request = {
            "action": ACTION_SLTP,
            "symbol": symbol.name,
            "position": position.ticket,
            "sl": float(sl or 0),
            "tp": float(tp or 0),
        }

    def _position(self, payload: dict[str, Any], account: Account) -> Position:
        """The position that is named by its ticket or its identifier. The terminal is told the ticket that it has now."""
        position = self._terminal.position(payload["ticket"], hedging=account.margin_mode == "hedging")
        if position is None or position.symbol != payload["symbol"]:
            # Not for good: a list that is not whole yet does not show it either.
            raise Refused(f"there is no position {payload['ticket']} of {payload['symbol']}", "position_gone", lasting=False)
        return position

    def _market(self, name: str) -> tuple[Symbol, Tick]:
        symbol = self._terminal.symbol(name)
        if symbol is None:
            raise Refused(f"the broker has no symbol {name}")
        tick = self._terminal.tick(name)
        if tick is None or tick.bid <= 0 or tick.ask <= 0:
            raise Refused(f"{name} has no price", lasting=False)
        self._settler.saw_tick(name, tick.time_ms)
        return symbol, tick

    def _deal(self, intent: Intent, symbol: Symbol, tick: Tick, side: str) -> None:
        filling = rules.filling_of(symbol)
        if filling is None:
            raise Refused(f"{symbol.name} allows no filling that market execution can use")
        intent.filling = filling
        intent.request = {
            "action": ACTION_DEAL,
            "symbol": symbol.name,
            "volume": float(intent.payload["volume"]),
            "type": TYPE[side],
            "price": tick.ask if side == "buy" else tick.bid,
            "magic": intent.magic63,
            "comment": intent.comment,
            "type_time": GOOD_TILL_CANCELLED,
            "type_filling": rules.FILLING[filling],
        }
        if symbol.execution in ("request", "instant"):
            intent.request["deviation"] = intent.payload["max_deviation_points"]

    def _check(self, intent: Intent) -> None:
        """The terminal's own check. Its success is 0."""
        try:
            checked = self._terminal.order_check(intent.request)
        except Unavailable as error:
            if not self._terminal.attached:
                raise
            raise Refused(f"order_check: {error.text}", "check") from error
        if checked.retcode != 0:
            lasting = checked.retcode in LASTING
            raise Refused(f"order_check: {checked.comment}", "check", lasting=lasting, retcode=checked.retcode)
        late = guards.expired(intent.expires_at, self._clock.now())
        if late:
            raise Refused(late, "expired", lasting=False)

    def _send(self, intent: Intent, account: Account) -> dict[str, Any]:
        try:
            baseline = [] if intent.action == "MODIFY" else self._settler.unattributed(intent.payload["symbol"])
        except Unavailable as error:
            raise Refusal("not_ready", str(error)) from error
        row = self._row(intent, account, "sending")
        row.baseline = baseline
        row.t_sending = self._clock.now()
        row.record |= {"sent": True, "sent_at": row.t_sending}
        self._add(row, row.t_sending)
        self._kill("sending")
        stopped = self._still_meant(intent)
        if stopped:
            set_state(row.record, "refused", sent=False, proof=stopped.proof, text=stopped.text, lasting=stopped.lasting)
            return self._finish(row)
        self._kill("guarded")
        result = self._terminal.order_send(intent.request)
        self._kill("sent")
        outcome = self._classify(row, intent, result)
        set_state(row.record, outcome.state, sent=outcome.sent, lasting=outcome.lasting)
        if outcome.state == "refused":
            row.record["proof"] = "retcode" if outcome.sent else "wheel"
        # A session that broke inside the call may have left the request in its pipe.
        row.interrupted = outcome.state == "unknown" and not self._terminal.attached
        self._finish(row)
        self._kill("result")
        row = self._complete(row)
        self._kill("completed")
        return row.record

    def _still_meant(self, intent: Intent) -> Refused | None:
        """Guard and expiry again, after the commit that took its time."""
        try:
            self.ready(intent.guard)
        except Refusal as refusal:
            return Refused(refusal.text, refusal.code, lasting=refusal.lasting)
        late = guards.expired(intent.expires_at, self._clock.now())
        return Refused(late, "expired", lasting=False) if late else None

    def _classify(self, row: Row, intent: Intent, result: Any | None) -> Outcome:
        record = row.record
        if result is None:
            code, text = self._terminal.last_error
            record.update(retcode=code, text=text)
            return classify_none(code, text)
        record.update(retcode=result.retcode, retcode_external=result.retcode_external, text=result.comment or "")
        if intent.action == "MODIFY":
            outcome = _classify_levels(result.retcode)
            if outcome.state == "done":
                record["proof"] = "retcode"
            return outcome
        if result.order:
            record["order"] = result.order
        outcome = classify(result.retcode, result.order, intent.filling or "")
        if outcome.state == "done":
            volume = Decimal(repr(float(result.volume))) if result.volume else Decimal(intent.payload["volume"])
            if result.retcode == DONE and not result.deal:
                # Told as done, and no deal: it may still be executed, or refused because its position is gone by then.
                return Outcome("placed")
            record.update(filled=like_volume(volume, intent.payload["volume"]), proof="order")
        return outcome

    def _complete(self, row: Row) -> Row:
        """Waits a moment for the deals of what is told as done. The row, as it is known by then."""
        if row.state != "done" and not told_done(row):
            return row
        until = self._clock.now() + self._waits.deals_ms
        while True:
            try:
                if row.state == "placed":
                    self._settler.settle(row.id)
                    row = self._ledger.get(row.id) or row
                if row.state != "placed" and (self._levels_read(row) if row.action == "MODIFY" else self._settler.complete(row)):
                    return row
            except Unavailable:
                return row
            if self._clock.now() >= until:
                return row
            self._clock.sleep(self._waits.deals_ms / 1000 / 8)

    def _levels_read(self, row: Row) -> bool:
        position = self._terminal.position(lasting_number(row), hedging=row.hedging)
        missing = position is None or levels_of(position) != asked_levels(row.payload)
        proof = row.record["proof"] if missing else "levels"
        if (row.record["levels_missing"], row.record["proof"]) != (missing, proof):
            row.record.update(levels_missing=missing, proof=proof)
            self._ledger.update(self._clock.now(), row)
        return not missing

    def _finish(self, row: Row) -> dict[str, Any]:
        row.state = row.record["state"]
        now = self._clock.now()
        if row.record["final"]:
            row.t_final = now
        self._ledger.update(now, row)
        return row.record

    def _row(self, intent: Intent, account: Account | None, state: str) -> Row:
        record = new_record(state, intent.payload, intent.magic63, intent.comment)
        record["filling"] = intent.filling
        if intent.action in ("CLOSE", "MODIFY"):
            record["position"] = intent.payload["ticket"]
        return Row(
            id=intent.id,
            action=intent.action,
            digest=intent.digest,
            payload=intent.payload,
            login=account.login if account else intent.guard.login,
            server=account.server if account else intent.guard.server,
            hedging=intent.guard.margin_mode == "hedging",
            record=record,
            state=state,
            parent=intent.parent,
            magic63=intent.magic63,
            comment=intent.comment,
        )

    def _refuse(self, intent: Intent, refused: Refused) -> dict[str, Any]:
        row = self._row(intent, None, "refused")
        # What never left needs no carriers to be found by, and must not take them from the id that has them.
        row.magic63, row.comment = None, None
        set_state(row.record, "refused", proof=refused.proof, text=refused.text, lasting=refused.lasting)
        row.record["retcode"] = refused.retcode
        row.t_final = self._clock.now()
        self._add(row, row.t_final)
        return row.record

    def _add(self, row: Row, now: int) -> None:
        """Commits a new row, before anything leaves for it."""
        try:
            self._ledger.add(now, row)
        except sqlite3.IntegrityError as error:
            raise Refusal("id_conflict", "this id is already in the ledger") from error
        except NotWritten as error:
            raise Refusal("not_ready", str(error)) from error


def _far_enough(symbol: Symbol, tick: Tick, side: str, sl: Decimal | None, tp: Decimal | None) -> None:
    """Refuses levels that are too near for now: the price moves, and the next order may fit."""
    complaint = rules.distance_complaint(symbol, tick, side, sl, tp)
    if complaint:
        raise Refused(complaint, lasting=False)


def _classify_levels(retcode: int) -> Outcome:
    """A change of levels makes no order, so its code stands alone."""
    if retcode == DONE:
        return Outcome("done")
    if retcode in PASSING or retcode in LASTING:
        return Outcome("refused", lasting=retcode in LASTING)
    return Outcome("unknown", sent=retcode != NOTHING_WRITTEN)
