"""The wheel as the gateway sees it: strict about arguments before a byte is written, `None` and `last_error` after.

What reaches the terminal goes through a transport: a Unix socket for the module `MetaTrader5`, or a broker in this process
for runs in simulated time.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Any, Protocol

COMMENT_MAX = 29
FLOATS = ("volume", "price", "sl", "tp", "stoplimit")
INTEGERS = (
    "action",
    "magic",
    "order",
    "type",
    "type_time",
    "type_filling",
    "deviation",
    "expiration",
    "position",
    "position_by",
)
TEXTS = ("symbol", "comment")


class PipeBroken(Exception):
    """The terminal is gone in the middle of a call."""


class Transport(Protocol):
    def open(self) -> bool: ...

    def close(self) -> None: ...

    def call(self, call: str, args: dict[str, Any]) -> tuple[Any, tuple[int, str]]: ...


class Wheel:
    def __init__(self, transport: Transport, now: Callable[[], float]) -> None:
        self._transport = transport
        self._now = now
        self._state = "closed"
        self._error: tuple[int, str] = (1, "Success")

    def initialize(self, path: str | None = None, **named: Any) -> bool:
        del path
        unknown = set(named) - {"login", "password", "server", "timeout", "portable"}
        if unknown:
            self._refuse(f'Unnamed arguments not allowed: "{unknown}"')
            return False
        if self._state == "broken":
            self._error = (-10003, "IPC initialize failed")
            return False
        if self._state == "open":
            return True
        if not self._transport.open():
            self._error = (-10003, "IPC initialize failed, MetaTrader 5 x64 not found")
            return False
        self._state = "open"
        return bool(self._call("initialize"))

    def shutdown(self) -> None:
        self._transport.close()
        self._state = "closed"

    def last_error(self) -> tuple[int, str]:
        return self._error

    def version(self) -> tuple[int, int, str]:
        return (500, 6231, "20 Nov 2026")

    def terminal_info(self) -> Any:
        return _named("TerminalInfo", self._call("terminal_info"))

    def account_info(self) -> Any:
        return _named("AccountInfo", self._call("account_info"))

    def symbol_info(self, symbol: str, /) -> Any:
        return _named("SymbolInfo", self._call("symbol_info", symbol=symbol))

    def symbol_info_tick(self, symbol: str, /) -> Any:
        return _named("Tick", self._call("symbol_info_tick", symbol=symbol))

    def symbol_select(self, symbol: str, enable: bool = True, /) -> Any:
        return self._call("symbol_select", symbol=symbol, enable=enable)

    def copy_rates_from_pos(self, symbol: str, timeframe: int, start_pos: int, count: int, /) -> Any:
        return self._call("copy_rates_from_pos", symbol=symbol, timeframe=timeframe, start_pos=start_pos, count=count)

    def orders_get(self, **named: Any) -> Any:
        return self._list("TradeOrder", "orders_get", (), named, ("symbol", "ticket"))

    def positions_get(self, **named: Any) -> Any:
        return self._list("TradePosition", "positions_get", (), named, ("symbol", "ticket"))

    def history_orders_get(self, *dates: Any, **named: Any) -> Any:
        return self._list("TradeOrder", "history_orders_get", dates, named, ("ticket", "position"))

    def history_deals_get(self, *dates: Any, **named: Any) -> Any:
        return self._list("TradeDeal", "history_deals_get", dates, named, ("ticket", "position"))

    def order_check(self, request: dict[str, Any], /) -> Any:
        wrong = _wrong(request)
        if wrong:
            self._refuse(wrong)
            return None
        return _named("OrderCheckResult", self._call("order_check", request=request))

    def order_send(self, request: dict[str, Any], /) -> Any:
        wrong = _wrong(request)
        if wrong:
            self._refuse(wrong)
            return None
        return _named("OrderSendResult", self._call("order_send", request=request, called_at=self._now()))

    def _list(self, name: str, call: str, dates: tuple[Any, ...], named: dict[str, Any], keys: tuple[str, ...]) -> Any:
        wrong = self._wrong_arguments(dates, named, keys)
        if wrong:
            self._refuse(wrong)
            return None
        args = dict(named)
        if dates:
            args |= {"date_from": dates[0], "date_to": dates[1]}
        elif call.startswith("history") and not named:
            self._refuse('Invalid "date_from" argument')
            return None
        found = self._call(call, **args)
        return None if found is None else tuple(_named(name, item) for item in found)

    def _wrong_arguments(self, dates: tuple[Any, ...], named: dict[str, Any], keys: tuple[str, ...]) -> str:
        if set(named) - set(keys):
            return f'Unnamed or unknown arguments: "{sorted(set(named) - set(keys))}"'
        if dates and (len(dates) != 2 or named):
            return 'Invalid "date_to" argument'
        for date in dates:
            if not isinstance(date, int) or not 0 <= date < 1 << 31:
                return 'Invalid "date_from" argument'
        return ""

    def _refuse(self, text: str) -> None:
        self._error = (-2, text)

    def _call(self, call: str, **args: Any) -> Any:
        if self._state != "open":
            self._error = (-10004, "No IPC connection")
            return None
        try:
            value, self._error = self._transport.call(call, args)
        except PipeBroken:
            self._state = "broken"
            self._error = (-10002, "IPC recv failed")
            return None
        return value


def _wrong(request: Any) -> str:
    """As the wheel: a comment of 30 characters and an int for a float never reach the terminal."""
    if not isinstance(request, dict):
        return 'Invalid "request" argument'
    for name, value in request.items():
        if name in FLOATS:
            fits = isinstance(value, float)
        elif name in INTEGERS:
            fits = isinstance(value, int) and 0 <= value < 1 << 64
        elif name in TEXTS:
            fits = isinstance(value, str) and (name != "comment" or len(value) <= COMMENT_MAX)
        else:
            return f'Unnamed "{name}" argument'
        if not fits:
            return f'Invalid "{name}" argument'
    return ""


_types: dict[tuple[str, tuple[str, ...]], Any] = {}


def _named(name: str, value: Any) -> Any:
    if value is None:
        return None
    key = (name, tuple(value))
    if key not in _types:
        _types[key] = namedtuple(name, key[1])
    return _types[key](*value.values())
