"""Orders, deals and positions of the fake broker, made from the truth's events, and what each list shows of them."""

from dataclasses import dataclass, field
from typing import Any

CANCELED, PARTIAL, FILLED, REJECTED = 2, 3, 4, 5
PLACED = 1
IN, OUT, INOUT = 0, 1, 2
BALANCE = 2


@dataclass
class Order:
    data: dict[str, Any]
    left: float
    state: int = PLACED
    ended_at: float | None = None
    deals: int = 0
    # What is still to come: time, what, volume.
    steps: list[tuple[float, str, float]] = field(default_factory=list)

    @property
    def ticket(self) -> int:
        return int(self.data["ticket"])

    def lag(self, name: str) -> float:
        return float(self.data["lags"].get(name, 0.0))


@dataclass
class Position:
    # Its identifier: the ticket that it was opened with.
    ticket: int
    account: int
    symbol: str
    side: int
    volume: float
    price: float
    magic: int
    comment: str
    sl: float
    tp: float
    at_ms: int


class Positions:
    """Positions as a fold over deals. One fold is the truth, another is what the terminal has heard."""

    def __init__(self, hedging: bool) -> None:
        self._hedging = hedging
        self.open: dict[int, Position] = {}

    def apply(self, deal: dict[str, Any]) -> bool:
        """Whether the deal could be applied; a close waits for its open."""
        key = self._key(deal)
        position = self.open.get(key) if key is not None else None
        if deal["entry"] == OUT and position is None and self._hedging:
            return False
        if position is None:
            self.open[deal["position_id"]] = _opened(deal)
        elif position.side == deal["type"]:
            total = position.volume + deal["volume"]
            position.price = (position.price * position.volume + deal["price"] * deal["volume"]) / total
            position.volume = round(total, 8)
        else:
            self._reduce(position, deal)
        return True

    def _key(self, deal: dict[str, Any]) -> int | None:
        if self._hedging:
            return int(deal["position_id"])
        same = (
            ticket
            for ticket, position in self.open.items()
            if (position.symbol, position.account) == (deal["symbol"], deal["account"])
        )
        return next(same, None)

    def _reduce(self, position: Position, deal: dict[str, Any]) -> None:
        left = round(position.volume - deal["volume"], 8)
        if left > 0:
            position.volume = left
        else:
            del self.open[position.ticket]
            if left < 0:
                turned = _opened({**deal, "position_id": position.ticket})
                turned.volume = -left
                self.open[position.ticket] = turned


def _opened(deal: dict[str, Any]) -> Position:
    return Position(
        ticket=deal["position_id"],
        account=deal["account"],
        symbol=deal["symbol"],
        side=deal["type"],
        volume=deal["volume"],
        price=deal["price"],
        magic=deal["magic"],
        comment=deal["comment"],
        sl=deal.get("sl", 0.0),
        tp=deal.get("tp", 0.0),
        at_ms=deal["time_msc"],
    )


class Book:
    def __init__(self, hedging: bool) -> None:
        self.hedging = hedging
        self.orders: dict[int, Order] = {}
        self.working: dict[int, Order] = {}
        self.deals: list[dict[str, Any]] = []
        self.true = Positions(hedging)
        self._heard = Positions(hedging)
        self._unheard: list[dict[str, Any]] = []
        # The tickets of positions that were opened again, by identifier.
        self.tickets: dict[int, int] = {}
        self.next_ticket = 9001
        self.sent = 0

    def apply(self, at: float, kind: str, data: dict[str, Any]) -> None:
        """One event of the truth, new or read back."""
        if kind == "sent":
            self.sent = max(self.sent, data["number"])
        elif kind == "accepted":
            order = Order(data, data["volume"], steps=[(step[0], step[1], step[2]) for step in data["steps"]])
            self.orders[order.ticket] = self.working[order.ticket] = order
            self.next_ticket = max(self.next_ticket, order.ticket + 1)
        elif kind == "deal":
            self._deal(data)
        elif kind == "ended":
            order = self.orders[data["order"]]
            order.state, order.ended_at, order.steps = data["state"], at, []
            self.working.pop(order.ticket, None)
        elif kind == "reopened":
            self.tickets[data["position"]] = data["ticket"]
            self.next_ticket = max(self.next_ticket, data["ticket"] + 1)
        elif kind == "levels":
            for fold in (self.true, self._heard):
                if data["position"] in fold.open:
                    fold.open[data["position"]].sl = data["sl"]
                    fold.open[data["position"]].tp = data["tp"]

    def _deal(self, data: dict[str, Any]) -> None:
        self.deals.append(data)
        self.next_ticket = max(self.next_ticket, data["ticket"] + 1)
        if data["type"] == BALANCE:
            return
        self.true.apply(data)
        self._unheard.append(data)
        order = self.orders[data["order"]]
        order.left = round(order.left - data["volume"], 8)
        order.deals += 1
        order.state = PARTIAL
        if order.steps:
            order.steps.pop(0)

    def ticket_of(self, identifier: int) -> int:
        return self.tickets.get(identifier, identifier)

    def identifier_of(self, ticket: int) -> int | None:
        """The open position with this ticket. A ticket that it had before names nothing."""
        return next((identifier for identifier in self.true.open if self.ticket_of(identifier) == ticket), None)

    def positions(self, now: float, account: int, before: float) -> list[Position]:
        """What the terminal's list shows: each deal some time after it happened."""
        waiting = []
        for deal in self._unheard:
            late = now < deal["at"] + deal["lags"].get("positions", 0.0) or deal["at"] >= before
            if late or not self._heard.apply(deal):
                waiting.append(deal)
        self._unheard = waiting
        return [position for position in self._heard.open.values() if position.account == account]

    def active_orders(self, now: float, account: int, before: float) -> list[Order]:
        return [
            order
            for order in self.working.values()
            if order.data["account"] == account and now >= order.data["at"] + order.lag("orders") and order.data["at"] < before
        ]

    def ended_orders(self, now: float, account: int, before: float) -> list[Order]:
        return [
            order
            for order in self.orders.values()
            if order.ended_at is not None
            and order.data["account"] == account
            and now >= order.ended_at + order.lag("history_orders")
            and order.ended_at < before
        ]

    def shown_deals(self, now: float, account: int, before: float) -> list[dict[str, Any]]:
        return [
            deal
            for deal in self.deals
            if deal["account"] == account and now >= deal["at"] + deal["lags"].get("history_deals", 0.0) and deal["at"] < before
        ]
