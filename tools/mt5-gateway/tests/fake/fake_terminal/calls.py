"""The calls of the fake terminal by name, and what each list shows as plain JSON."""

from collections.abc import Callable
from typing import Any, TypeVar

from fake_terminal.book import Order, Position
from fake_terminal.broker import Broker, Result
from fake_terminal.market import ACCOUNTS, MARKETS

Item = TypeVar("Item")
NOT_FOUND = (-4, "Terminal: Not found")


class Calls:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def answer(self, call: str, args: dict[str, Any], pid: int) -> Result:
        broker = self._broker
        broker.advance()
        if call == "order_send":
            return broker.send(args["request"], args["called_at"], pid)
        method = getattr(self, f"_{call.removeprefix('_')}", None)
        if method is None:
            return Result(None, (-1, f"there is no call {call}"))
        result = method(**args)
        return result if isinstance(result, Result) else Result(result)

    def _initialize(self) -> Any:
        return True

    def _plan(self, plans: list[dict[str, Any]]) -> Any:
        """For tests: the faults of the next orders."""
        self._broker.faults.lay_ready(plans)
        return True

    def _set(self, **values: Any) -> Any:
        """For tests: a property of the terminal."""
        for name, value in values.items():
            if not hasattr(self._broker, name):
                return Result(None, (-1, f"the broker has no {name}"))
            setattr(self._broker, name, value)
        return True

    def _reopen(self) -> Any:
        """For tests: the night's swap."""
        self._broker.reopen_positions()
        return True

    def _terminal_info(self) -> Any:
        return {
            "build": 6231,
            "connected": self._broker.connected(),
            "trade_allowed": self._broker.trade_allowed,
            "tradeapi_disabled": self._broker.api_disabled,
            "ping_last": 20000,
        }

    def _account_info(self) -> Any:
        account = ACCOUNTS[self._broker.current_account()]
        return {
            **account,
            "trade_mode": self._broker.trade_mode,
            "margin_mode": self._broker.margin_mode,
            "currency": "USD",
            "currency_digits": 2,
            "trade_allowed": True,
            "trade_expert": True,
            "fifo_close": False,
            "leverage": 100,
            "balance": 10000.0,
            "equity": 10000.7,
            "profit": 0.7,
            "margin": 115.35,
            "margin_free": 9885.35,
            "margin_level": 8669.87,
        }

    def _symbol_info(self, symbol: str) -> Any:
        if symbol not in MARKETS:
            return Result(None, NOT_FOUND)
        return {**MARKETS[symbol].info(), **self._broker.tick(symbol)}

    def _symbol_select(self, symbol: str, enable: bool) -> Any:
        del enable
        return symbol in MARKETS

    def _symbol_info_tick(self, symbol: str) -> Any:
        return self._broker.tick(symbol) if symbol in MARKETS else Result(None, NOT_FOUND)

    def _copy_rates_from_pos(self, symbol: str, timeframe: int, start_pos: int, count: int) -> Any:
        del timeframe, start_pos
        if symbol not in MARKETS:
            return Result(None, NOT_FOUND)
        hour = int(self._broker.now + self._broker.offset_s) // 3600 * 3600
        return [[hour - 3600 * back, 1.0, 1.0, 1.0, 1.0, 10, 0, 0] for back in reversed(range(count))]

    def _order_check(self, request: dict[str, Any]) -> Any:
        return {"retcode": 0, "comment": "Done", "request": request, "balance": 0.0, "equity": 0.0, "profit": 0.0,
                "margin": 0.0, "margin_free": 0.0, "margin_level": 0.0}  # fmt: skip

    def _orders_get(self, symbol: str | None = None, ticket: int | None = None) -> Any:
        if self._broker.lists_are_empty():
            return []
        orders = self._shown(self._broker.book.active_orders)
        return [
            self._order(order) for order in orders if symbol in (None, order.data["symbol"]) and ticket in (None, order.ticket)
        ]

    def _positions_get(self, symbol: str | None = None, ticket: int | None = None) -> Any:
        if self._broker.lists_are_empty():
            return []
        positions = self._shown(self._broker.book.positions)
        return [
            self._position(position)
            for position in positions
            if symbol in (None, position.symbol) and ticket in (None, self._broker.book.ticket_of(position.ticket))
        ]

    def _history_orders_get(
        self, date_from: int = 0, date_to: int = 1 << 31, ticket: int | None = None, position: int | None = None
    ) -> Any:
        if self._broker.lists_are_empty():
            return []
        orders = self._shown(self._broker.book.ended_orders)
        return [
            self._order(order)
            for order in orders
            if date_from <= order.data["time_msc"] // 1000 <= date_to
            and ticket in (None, order.ticket)
            and position in (None, self._position_of(order))
        ]

    def _history_deals_get(
        self, date_from: int = 0, date_to: int = 1 << 31, ticket: int | None = None, position: int | None = None
    ) -> Any:
        if self._broker.lists_are_empty():
            return []
        shown = [
            deal
            for deal in self._shown(self._broker.book.shown_deals)
            if date_from <= deal["time_msc"] // 1000 <= date_to
            and ticket in (None, deal["order"])
            and position in (None, deal["position_id"])
        ]
        if ticket is not None:
            self._broker.showed_deals(ticket, sum(deal["volume"] for deal in shown))
        return [self._deal(deal) for deal in shown]

    def _shown(self, some: Callable[[float, int, float], list[Item]]) -> list[Item]:
        return some(self._broker.now, self._broker.account, self._broker.ends_before())

    def _order(self, order: Order) -> dict[str, Any]:
        data = order.data
        return {
            "ticket": order.ticket,
            "time_setup": data["time_msc"] // 1000,
            "time_setup_msc": data["time_msc"],
            "type": data["type"],
            "type_filling": data["filling"],
            "state": order.state,
            "magic": data["magic"],
            "reason": data["reason"],
            "position_id": self._position_of(order),
            "volume_initial": data["volume"],
            "volume_current": order.left,
            "symbol": data["symbol"],
            "comment": data["comment"],
            "sl": data["sl"],
            "tp": data["tp"],
        }

    def _position_of(self, order: Order) -> int:
        """Set once the order was executed, as the reference says."""
        if not order.deals:
            return 0
        return int(order.data["position"] or order.ticket)

    def _deal(self, deal: dict[str, Any]) -> dict[str, Any]:
        return {
            **{name: deal[name] for name in ("ticket", "order", "time_msc", "type", "entry", "magic", "reason")},
            **{name: deal[name] for name in ("position_id", "volume", "price", "symbol", "comment")},
            "time": deal["time_msc"] // 1000,
            "commission": 0.0,
            "swap": 0.0,
            "profit": deal.get("profit", 0.0),
            "fee": 0.0,
        }

    def _position(self, position: Position) -> dict[str, Any]:
        tick = self._broker.tick(position.symbol)
        return {
            "ticket": self._broker.book.ticket_of(position.ticket),
            "identifier": position.ticket,
            "time": position.at_ms // 1000,
            "time_msc": position.at_ms,
            "type": position.side,
            "magic": position.magic,
            "volume": position.volume,
            "price_open": position.price,
            "price_current": tick["bid"] if position.side == 0 else tick["ask"],
            "sl": position.sl,
            "tp": position.tp,
            "swap": 0.0,
            "profit": 0.0,
            "symbol": position.symbol,
            "comment": position.comment,
        }
