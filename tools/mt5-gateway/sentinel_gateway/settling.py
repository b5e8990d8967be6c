"""Looks at the terminal, asks the resolver about each open row, and commits what it says."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sentinel_gateway.clock import Clock, ServerTime
from sentinel_gateway.facts import DEAL_BALANCE, Account, Deal, Order, Position, position_of
from sentinel_gateway.ledger import UNSETTLED, Ledger, Row
from sentinel_gateway.log import Log
from sentinel_gateway.memory import Memory
from sentinel_gateway.record import set_state
from sentinel_gateway.resolver import (
    Facts,
    Limits,
    Listing,
    Verdict,
    Wanted,
    levels_of,
    lookalikes,
    mean_price,
    resolve,
    resolve_levels,
)
from sentinel_gateway.terminal import LOOKAHEAD_S, LOOKBACK_S, Terminal, Unavailable
from sentinel_gateway.waits import Waits
from sentinel_gateway.wanted import asked_levels, lasting_number, like_volume, price_text, wanted_of

WATCHED_SYMBOLS_MAX = 64


@dataclass(frozen=True)
class Look:
    """Everything that the terminal listed at one moment."""

    account: Account
    listing: Listing
    newest_known_listed: bool


class Settler:
    def __init__(self, ledger: Ledger, terminal: Terminal, clock: Clock, waits: Waits, time: ServerTime, log: Log):
        self._ledger = ledger
        self._terminal = terminal
        self._clock = clock
        self._waits = waits
        self._time = time
        self._log = log
        self._limits = Limits(waits.absent_after_ms, waits.connected_ms, waits.apart_ms, waits.complete_ms)
        self._memory = Memory(clock)
        self._ticks: dict[str, int] = {}
        self.tick_moved_at: int | None = None
        self._next_settle = 0
        self._next_watch = 0
        terminal.on_session = self._session_began

    def boot(self) -> None:
        """What was being sent when the last process ended is unknown, and may still wait in the old pipe."""
        now = self._clock.now()
        for row in self._ledger.in_states(["sending"]):
            row.interrupted = row.action != "FLATTEN"
            self._move(row, now, "unknown", text="the gateway ended while this was being sent")

    def watch_symbols(self, symbols: list[str]) -> None:
        """Ticks of these symbols tell that the terminal hears the market, and what its clock shows."""
        for symbol in symbols:
            if len(self._ticks) < WATCHED_SYMBOLS_MAX:
                self._ticks.setdefault(symbol, 0)

    def tick_age_ms(self) -> int | None:
        return None if self.tick_moved_at is None else self._clock.now() - self.tick_moved_at

    def poll(self) -> bool:
        """One light look: is the terminal there and connected, and does a tick move?"""
        try:
            connected = self._terminal.attach() and self._terminal.terminal_info().connected
            account = self._terminal.account() if connected else None
            if connected:
                for symbol in list(self._ticks):
                    tick = self._terminal.tick(symbol)
                    if tick is not None:
                        self.saw_tick(symbol, tick.time_ms)
        except Unavailable:
            connected, account = False, None
        self._memory.saw_connection(connected, account)
        return connected

    def saw_tick(self, symbol: str, tick_ms: int) -> bool:
        """Whether the tick moved since the last look; the first look cannot tell."""
        before = self._ticks.get(symbol, 0)
        self._ticks[symbol] = tick_ms
        if not before or tick_ms <= before:
            return False
        now = self._clock.now()
        self.tick_moved_at = now
        measured = self._time.moved(tick_ms, now)
        if measured is not None:
            stored = self._ledger.meta("offset") or {}
            if stored.get("offset_s") != measured.offset_s:
                self._log.info("the server's clock was measured", offset_s=measured.offset_s)
                self._ledger.put_meta("offset", vars(measured))
        return True

    def synced_for_ms(self) -> int | None:
        """Since when the lists can be believed: connected long enough, and the newest known order is among them."""
        connected_for, steady = self._memory.connected_for(), self._clock.steady()
        if connected_for is None or connected_for < self._waits.connected_ms:
            return None
        if self._memory.synced_since is None:
            try:
                look = self._look([])
            except Unavailable:
                return None
            if look is None or not look.newest_known_listed:
                return None
            self._memory.synced_since = steady
        return steady - self._memory.synced_since

    def is_due(self) -> bool:
        return self._clock.now() >= self._next_settle

    def settle(self, only: str | None = None) -> None:
        """One look, and what it proves about every open row, or about one."""
        now = self._clock.now()
        if only is None:
            self._next_settle = now + self._waits.settle_every_ms
        rows = [row for row in self._ledger.in_states(UNSETTLED) if only in (None, row.id, row.parent)]
        single = [row for row in rows if row.action != "FLATTEN"]
        watched = self._watched(now) if only is None and now >= self._next_watch else []
        for row in single:
            self._memory.waiting_since(row)
        if single or watched:
            self._settle_rows(single, watched, now)
        for parent in (row for row in rows if row.action == "FLATTEN" and not row.is_bar):
            if all(child.state not in UNSETTLED for child in self._ledger.children(parent.id)):
                self._move(parent, now, "done", proof="children", text="")

    def _settle_rows(self, rows: list[Row], watched: list[Row], now: int) -> None:
        if not self.poll():
            return
        for row in rows:
            self.watch_symbols([row.payload["symbol"]] if row.payload.get("symbol") else [])
        try:
            look = self._look(rows + watched)
        except Unavailable as error:
            self._log.info("the terminal did not list everything", error=str(error))
            self._memory.saw_connection(False, None)
            return
        if look is None:
            return
        for row in rows:
            self._judge(row, look)
        if watched:
            self._next_watch = now + self._waits.watch_every_ms
            self._memory.keep_only(rows + watched)
        for row in watched:
            self._judge_again(row, look)

    def complete(self, row: Row) -> bool:
        """Adds deals, price and levels to a row that is done. Whether nothing is missing any more."""
        record = row.record
        if row.action == "MODIFY" or row.ticket is None:
            return True
        deals = self._terminal.deals_of_order(row.ticket)
        executed = sum((deal.volume for deal in deals), Decimal(0))
        if not deals or executed != Decimal(record["filled"] or "0"):
            return False
        self._check_carriers(row, {deal.magic for deal in deals})
        position = next((deal.position for deal in deals if deal.position), None)
        record.update(proof="deals", deals=sorted(deal.ticket for deal in deals), price=price_text(mean_price(deals)))
        if row.action == "OPEN":
            record["position"] = position
            if position and (row.payload.get("sl") or row.payload.get("tp")):
                shown = self._terminal.position(position, hedging=row.hedging)
                if shown is not None:
                    record["levels_missing"] = levels_of(shown) != asked_levels(row.payload)
        self._ledger.update(self._clock.now(), row)
        return True

    def contradictions(self) -> int:
        return int(self._ledger.meta("contradictions") or 0)

    def carriers(self, account: Account | None) -> dict[str, str]:
        """What the self-test proved about this account's carriers."""
        stored = self._ledger.meta("carriers") or {}
        if account is None or (stored.get("login"), stored.get("server")) != (account.login, account.server):
            return {"magic": "unproven", "comment": "unproven"}
        return {"magic": stored["magic"], "comment": stored["comment"]}

    def missing_position(self, positions: list[Position]) -> int | None:
        """A position that was opened a moment ago and that the list neither shows nor knows to be closed."""
        listed = {position.identifier for position in positions}
        for row in self._ledger.final_since(["done"], self._clock.now() - 2 * self._waits.complete_ms):
            opened = row.record["position"] or row.ticket
            if row.action != "OPEN" or not row.hedging or opened in listed or opened is None:
                continue
            if not any(deal.entry != "in" for deal in self._terminal.deals_of_position(opened)):
                return int(opened)
        return None

    def unattributed(self, symbol: str) -> list[int]:
        """Orders of a symbol that belong to no row. One of them cannot be what is sent next."""
        now_s = self._clock.now() // 1000
        orders = self._terminal.orders() + self._terminal.history_orders(now_s - LOOKBACK_S, now_s + LOOKAHEAD_S)
        return sorted(
            {
                order.ticket
                for order in orders
                if order.symbol == symbol and self._owner(order.ticket, order.magic, order.comment, symbol) is None
            }
        )

    def _session_began(self, now: int) -> None:
        self._ledger.session_began(now)
        self._memory.session_began()

    def _look(self, rows: list[Row]) -> Look | None:
        account = self._terminal.account()
        now_s = self._clock.now() // 1000
        newest = self._ledger.newest_order(account.login, account.server)
        starts = [row.t_sending // 1000 for row in rows if row.t_sending] + [now_s]
        since = 0 if newest is None else min([*starts, newest[1] // 1000]) - LOOKBACK_S
        orders = self._terminal.orders()
        orders += self._terminal.history_orders(since, now_s + LOOKAHEAD_S)
        deals = self._terminal.history_deals(since, now_s + LOOKAHEAD_S)
        positions = self._terminal.positions()
        for ticket in {row.ticket for row in rows if row.ticket} - {order.ticket for order in orders}:
            orders += self._terminal.history_order(ticket)
            deals += [deal for deal in self._terminal.deals_of_order(ticket) if deal not in deals]
        if newest is None:
            listed = any(deal.type == DEAL_BALANCE for deal in deals)
        else:
            listed = newest[0] in {order.ticket for order in orders}
        again = self._terminal.account()
        if (again.login, again.server) != (account.login, account.server):
            self._memory.saw_connection(True, again)
            return None
        return Look(account, Listing(tuple(orders), tuple(deals), tuple(positions)), listed)

    def _facts(self, row: Row, look: Look) -> Facts:
        return Facts(
            now=self._clock.now(),
            steady=self._clock.steady(),
            same_account=(look.account.login, look.account.server) == (row.login, row.server),
            connected_since=self._memory.connected_since,
            waiting_since=self._memory.waiting_since(row),
            tick_moved_at=self.tick_moved_at,
            newest_known_listed=look.newest_known_listed,
            carriers_intact=self.carriers(look.account)["magic"] == "intact",
            nothing_since=self._memory.nothing_since(row),
        )

    def _judge(self, row: Row, look: Look) -> None:
        facts = self._facts(row, look)
        wanted = wanted_of(row)
        if wanted is None:
            return
        if row.action == "MODIFY":
            position = position_of(look.listing.positions, lasting_number(row), hedging=row.hedging)
            verdict = resolve_levels(asked_levels(row.payload), wanted, position, facts, self._limits)
        else:
            verdict = resolve(wanted, self._with_others(row, wanted, look.listing), facts, self._limits)
        self._memory.looked(row, verdict.nothing)
        if verdict.kind != "wait":
            self._commit(row, verdict, facts.now)

    def _with_others(self, row: Row, wanted: Wanted, listing: Listing) -> Listing:
        """Marks orders that look like this one and belong to another row."""
        alike = set(lookalikes(wanted, listing))
        others = set()
        shown: list[tuple[int, Order | Deal | Position]] = [(order.ticket, order) for order in listing.orders]
        shown += [(deal.order, deal) for deal in listing.deals]
        if wanted.hedging:
            # A netting position has the ticket of the order that opened it and the carriers of the one that turned it.
            shown += [(position.identifier, position) for position in listing.positions]
        for ticket, item in shown:
            if ticket in alike and ticket not in others:
                owner = self._owner(ticket, item.magic, item.comment, item.symbol)
                if owner not in (None, row.id):
                    others.add(ticket)
        return Listing(listing.orders, listing.deals, listing.positions, frozenset(others))

    def _owner(self, ticket: int, magic: int, comment: str, symbol: str) -> str | None:
        row = self._ledger.by_ticket(ticket) or self._ledger.by_magic63(magic)
        if row is None and len(comment) >= 15:
            row = self._ledger.by_comment(comment[:15])
            if row is not None and row.payload.get("symbol") != symbol:
                row = None
        return None if row is None else row.id

    def _commit(self, row: Row, verdict: Verdict, now: int) -> None:
        record = row.record
        if verdict.alarm and row.state != "held":
            self._contradict(row, verdict.text)
        more: dict[str, Any] = {"text": verdict.text}
        if verdict.kind == "held":
            more["candidates"] = list(verdict.candidates)
        elif verdict.kind != "placed":
            more["proof"] = verdict.proof
            row.t_final = now
        if verdict.kind != "absent":
            record["sent"] = True
        if verdict.order is not None:
            more["order"] = verdict.order
        if verdict.kind == "done":
            more |= self._execution(row, verdict)
        before = dict(record)
        set_state(record, verdict.kind, **more)
        if row.state != verdict.kind or before != record:
            row.state = verdict.kind
            self._ledger.update(now, row)
            self._log.info("an order was settled", id=row.id, state=row.state, text=verdict.text)
        if verdict.kind == "done" and verdict.proof != "levels" and self._terminal.attached:
            try:
                self.complete(row)
            except Unavailable as error:
                self._log.info("an order stands without its deals", id=row.id, error=str(error))

    def _execution(self, row: Row, verdict: Verdict) -> dict[str, Any]:
        more: dict[str, Any] = {"deals": list(verdict.deals), "price": price_text(verdict.price)}
        if verdict.filled is not None:
            more["filled"] = like_volume(verdict.filled, row.payload.get("volume"))
        if verdict.position is not None and row.action != "CLOSE":
            # A change of levels keeps the number that it was asked by.
            more["position"] = row.payload["ticket"] if row.action == "MODIFY" else verdict.position
        return more

    def _watched(self, now: int) -> list[Row]:
        """Rows that were final and could still be contradicted, or whose price is not known yet."""
        since = now - self._waits.watch_ms
        gone = [row for row in self._ledger.final_since(["absent", "refused"], since) if _can_be_contradicted(row)]
        done = self._ledger.final_since(["done"], since)
        return gone + [row for row in done if row.record["price"] is None and row.action in ("OPEN", "CLOSE")]

    def _judge_again(self, row: Row, look: Look) -> None:
        if row.state == "done":
            try:
                self.complete(row)
            except Unavailable:
                return
            return
        wanted = wanted_of(row)
        if wanted is None:
            return
        facts = self._facts(row, look)
        verdict = resolve(wanted, look.listing, facts, self._limits)
        if verdict.kind == "done":
            self._contradict(row, "an order was found that had been told to be gone")
            row.record["after_absent"] = True
            self._commit(row, verdict, facts.now)

    def _contradict(self, row: Row, text: str) -> None:
        self._ledger.put_meta("contradictions", self.contradictions() + 1)
        self._ledger.note(self._clock.now(), row.id, "contradiction", text=text)
        self._log.alarm("the terminal contradicts itself", id=row.id, text=text)

    def _check_carriers(self, row: Row, magics: set[int]) -> None:
        """A broker that rewrites a magic number has lost the proof that it keeps them."""
        stored = self._ledger.meta("carriers")
        if row.magic63 is None or magics == {row.magic63} or not stored or stored["magic"] != "intact":
            return
        self._ledger.put_meta("carriers", {**stored, "magic": "rewritten"})
        self._log.alarm("the broker rewrote a magic number", id=row.id)

    def _move(self, row: Row, now: int, state: str, **more: Any) -> None:
        set_state(row.record, state, **more)
        row.state = state
        if row.record["final"]:
            row.t_final = now
        self._ledger.update(now, row)


def _can_be_contradicted(row: Row) -> bool:
    if row.action not in ("OPEN", "CLOSE"):
        return False
    return row.state == "absent" or bool(row.record["sent"])
