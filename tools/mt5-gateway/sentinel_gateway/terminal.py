"""The one place that calls the wheel: every call under the watch, every error a value.

A pipe that broke gives -10002 once and -10004 for ever after, until `shutdown()` and `initialize()`. `None` is an error and
never an empty list.
"""

from collections.abc import Callable
from typing import Any

from sentinel_gateway.clock import Clock
from sentinel_gateway.facts import Account, Deal, Order, Position, Symbol, TerminalFacts, Tick, position_of
from sentinel_gateway.waits import Waits
from sentinel_gateway.watch import Watch

BROKEN = frozenset({-10001, -10002, -10003, -10004, -10005})
LOOKBACK_S = 24 * 3600
LOOKAHEAD_S = 2 * 24 * 3600
# Arguments are 32 bits in the wheel.
LAST_SECOND = (1 << 31) - 1


class Unavailable(Exception):
    """The terminal did not answer a question. What it asked about is not known."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"{call}: {text} ({code})")
        self.code = code
        self.text = text


class Terminal:
    def __init__(self, mt5: Any, path: str | None, clock: Clock, waits: Waits, watch: Watch) -> None:
        self._mt5 = mt5
        self._path = path
        self._clock = clock
        self._waits = waits
        self._watch = watch
        self._tried = False
        self.attached = False
        # When this session first answered.
        self.session_since: int | None = None
        self.on_session: Callable[[int], None] = lambda _: None
        self.last_error: tuple[int, str] = (1, "Success")

    @property
    def package(self) -> str:
        return str(getattr(self._mt5, "__version__", "unknown"))

    def attach(self) -> bool:
        """Opens a session. A second `initialize` on a broken pipe fails, so `shutdown` goes before it."""
        if self.attached:
            return True
        with self._watch.limit("initialize", self._waits.initialize_limit_s):
            if self._tried:
                self._mt5.shutdown()
            self._tried = True
            self.attached = bool(self._mt5.initialize(self._path) if self._path else self._mt5.initialize())
        self._keep_error()
        return self.attached

    def detach(self) -> None:
        self._mt5.shutdown()
        self._lost()

    def terminal_info(self) -> TerminalFacts:
        raw = self._ask("terminal_info")
        return TerminalFacts(raw.build, bool(raw.connected), bool(raw.trade_allowed), bool(raw.tradeapi_disabled))

    def account(self) -> Account:
        return Account.of(self._ask("account_info"))

    def symbol(self, name: str) -> Symbol | None:
        """`None` where the broker has no such symbol."""
        try:
            symbol = Symbol.of(self._ask("symbol_info", name))
        except Unavailable:
            if not self.attached:
                raise
            return None
        if not symbol.visible:
            self._ask("symbol_select", name, True)
        return symbol

    def tick(self, name: str) -> Tick | None:
        try:
            raw = self._ask("symbol_info_tick", name)
        except Unavailable:
            if not self.attached:
                raise
            return None
        return Tick(raw.bid, raw.ask, raw.time_msc or raw.time * 1000)

    def orders(self) -> list[Order]:
        return [Order.of(raw, active=True) for raw in self._ask("orders_get")]

    def positions(self) -> list[Position]:
        return [Position.of(raw) for raw in self._ask("positions_get")]

    def position(self, number: int, *, hedging: bool) -> Position | None:
        """The position with this ticket or, on a hedging account, with this identifier."""
        found = [Position.of(raw) for raw in self._ask("positions_get", ticket=number)]
        return position_of(found or self.positions(), number, hedging=hedging)

    def history_orders(self, since_s: int, until_s: int) -> list[Order]:
        raws = self._ask("history_orders_get", *_range(since_s, until_s))
        return [Order.of(raw, active=False) for raw in raws]

    def history_deals(self, since_s: int, until_s: int) -> list[Deal]:
        return [Deal.of(raw) for raw in self._ask("history_deals_get", *_range(since_s, until_s))]

    def history_order(self, ticket: int) -> list[Order]:
        return [Order.of(raw, active=False) for raw in self._ask("history_orders_get", ticket=ticket)]

    def deals_of_order(self, ticket: int) -> list[Deal]:
        return [Deal.of(raw) for raw in self._ask("history_deals_get", ticket=ticket)]

    def deals_of_position(self, identifier: int) -> list[Deal]:
        return [Deal.of(raw) for raw in self._ask("history_deals_get", position=identifier)]

    def order_check(self, request: dict[str, Any]) -> Any:
        return self._ask("order_check", request)

    def bars(self, symbol: str, timeframe: int, count: int) -> Any:
        return self._ask("copy_rates_from_pos", symbol, timeframe, 0, count)

    def order_send(self, request: dict[str, Any]) -> Any | None:
        """Called once per order, and never again for it. `None` leaves its reason in `last_error`."""
        with self._watch.limit("order_send", self._waits.send_limit_s):
            result = self._mt5.order_send(request)
        if result is None:
            self._keep_error()
        return result

    def _ask(self, call: str, *args: Any, **named: Any) -> Any:
        if not self.attached:
            raise Unavailable(call, -10004, "No IPC connection")
        with self._watch.limit(call, self._waits.read_limit_s):
            result = getattr(self._mt5, call)(*args, **named)
        if result is None or result is False:
            self._keep_error()
            raise Unavailable(call, *self.last_error)
        if self.session_since is None:
            self.session_since = self._clock.now()
            self.on_session(self.session_since)
        return result

    def _keep_error(self) -> None:
        code, text = self._mt5.last_error()
        self.last_error = (int(code), str(text))
        if code in BROKEN:
            self._lost()

    def _lost(self) -> None:
        self.attached = False
        self.session_since = None


def _range(since_s: int, until_s: int) -> tuple[int, int]:
    return max(0, int(since_s)), min(int(until_s), LAST_SECOND)
