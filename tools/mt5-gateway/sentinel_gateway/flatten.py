"""FLATTEN: closes positions one by one, each with an order, a row and an id of its own."""

from typing import Any

from sentinel_gateway import guard as guards
from sentinel_gateway.carriers import MAGIC_BITS, child_id, split_magic
from sentinel_gateway.clock import Clock
from sentinel_gateway.effects import Effects, Intent
from sentinel_gateway.facts import Position, text_of
from sentinel_gateway.ledger import UNSETTLED, Ledger, Row
from sentinel_gateway.protocol import Refusal, Request, digest_of
from sentinel_gateway.record import new_record, set_state
from sentinel_gateway.settling import Settler
from sentinel_gateway.terminal import Terminal, Unavailable

DEVIATION_POINTS = 100
# So many are told in one reply. A reply that is too long would say that nothing was done.
POSITIONS_MAX = 500


class Flatten:
    def __init__(self, ledger: Ledger, terminal: Terminal, effects: Effects, settler: Settler, clock: Clock) -> None:
        self._ledger = ledger
        self._terminal = terminal
        self._effects = effects
        self._settler = settler
        self._clock = clock

    def perform(self, request: Request) -> dict[str, Any]:
        assert request.guard is not None
        late = guards.expired(request.expires_at, self._clock.now())
        account = self._effects.ready(request.guard)
        try:
            positions = [] if late else self._terminal.positions()
            chosen = [position for position in positions if self._is_meant(position, request.payload)]
            if not late and not chosen:
                self._believe_empty(positions)
            if len(chosen) > POSITIONS_MAX:
                raise Refusal("too_large", f"{len(chosen)} positions are more than {POSITIONS_MAX}: name some symbols")
        except Unavailable as error:
            raise Refusal("not_ready", str(error)) from error
        parent = self._parent(request, [self._number(position, request) for position in chosen], account.login, account.server)
        if late:
            set_state(parent.record, "refused", proof="expired", text=late)
            parent.state, parent.t_final = "refused", self._clock.now()
        self._ledger.add(self._clock.now(), parent)
        for position in chosen:
            self._close(request, position)
        set_state(parent.record, parent.state if late else "unknown", text=late or "some positions are not settled yet")
        if not late and all(row.state not in UNSETTLED for row in self._ledger.children(parent.id)):
            set_state(parent.record, "done", proof="children", text="")
            parent.state, parent.t_final = "done", self._clock.now()
            self._ledger.update(parent.t_final, parent)
        return self.told(parent)

    def _believe_empty(self, positions: list[Position]) -> None:
        """Nothing to close is only true of a list that can be believed. What is listed is closed in any case."""
        self._settler.poll()
        if self._settler.synced_for_ms() is None or self._settler.missing_position(positions) is not None:
            raise Refusal("not_synced", "the terminal lists nothing to close, and may not list everything yet")

    def told(self, parent: Row) -> dict[str, Any]:
        """The Record of the whole, and of each position so far. One without a row was never tried, and never will be."""
        children = {row.id: row for row in self._ledger.children(parent.id)}
        items = []
        for ticket in parent.baseline:
            id = child_id(parent.id, ticket)
            items.append({"ticket": ticket, "id": id, "state": children[id].state if id in children else "not_tried"})
        return parent.record | {"items": items, "orders_left": self._orders_left(parent)}

    def _close(self, request: Request, position: Position) -> None:
        """One child. What it cannot do now stays `not_tried`."""
        assert request.guard is not None
        payload = {
            "ticket": self._number(position, request),
            "symbol": position.symbol,
            "volume": text_of(position.volume),
            "magic": self._magic_of(position),
            "max_deviation_points": DEVIATION_POINTS,
        }
        id = child_id(request.id, self._number(position, request))
        digest = digest_of("CLOSE", payload, vars(request.guard))
        intent = Intent(id, "CLOSE", digest, payload, request.expires_at, request.guard, parent=request.id)
        intent.carry()
        if guards.expired(request.expires_at, self._clock.now()):
            return
        try:
            self._effects.perform(intent)
        except Refusal:
            return

    @staticmethod
    def _number(position: Position, request: Request) -> int:
        """On a hedging account the identifier: the ticket may change before the position's turn has come."""
        assert request.guard is not None
        return position.identifier if request.guard.margin_mode == "hedging" else position.ticket

    def _is_meant(self, position: Position, payload: Any) -> bool:
        symbols, magics = payload["symbols"], payload["magics"]
        if symbols is not None and position.symbol not in symbols:
            return False
        if payload.get("all"):
            return True
        owner = self._owner(position)
        if owner is None and split_magic(position.magic)[0] is None:
            return False
        return magics is None or self._magic_of(position) in magics

    def _owner(self, position: Position) -> Row | None:
        return self._ledger.by_ticket(position.identifier) or self._ledger.by_magic63(position.magic)

    def _magic_of(self, position: Position) -> int:
        owner = self._owner(position)
        if owner is not None and isinstance(owner.record["magic"], int):
            return owner.record["magic"]
        return split_magic(position.magic)[1] & ((1 << MAGIC_BITS) - 1)

    def _orders_left(self, parent: Row) -> int:
        try:
            orders = self._terminal.orders()
        except Unavailable:
            return -1
        symbols = parent.payload["symbols"]
        return sum(
            1
            for order in orders
            if (symbols is None or order.symbol in symbols)
            and (parent.payload.get("all") or split_magic(order.magic)[0] is not None)
        )

    def _parent(self, request: Request, tickets: list[int], login: int, server: str) -> Row:
        assert request.guard is not None
        payload = dict(request.payload)
        record = new_record("sending", payload, None, None)
        record["sent"] = bool(tickets)
        return Row(
            id=request.id,
            action="FLATTEN",
            digest=request.digest,
            payload=payload,
            login=login,
            server=server,
            hedging=request.guard.margin_mode == "hedging",
            record=record,
            state="sending",
            baseline=tickets,
            t_sending=self._clock.now(),
        )
