"""Questions that change nothing. They say `not_synced` rather than too little."""

import functools
from collections.abc import Callable
from typing import Any

from sentinel_gateway import VERSION, rules
from sentinel_gateway.carriers import split_magic
from sentinel_gateway.clock import Clock, ServerTime
from sentinel_gateway.facts import Account, Deal, Order, Position, Symbol, text_of
from sentinel_gateway.guard import Expected, another, mismatch
from sentinel_gateway.ledger import UNSETTLED, Ledger, Row
from sentinel_gateway.protocol import DEALS_MAX, Refusal, Request
from sentinel_gateway.settling import Settler
from sentinel_gateway.terminal import LOOKAHEAD_S, Terminal, Unavailable

# The server's clock is at most this far from UTC.
OFFSET_MAX_S = 15 * 3600
TICK_STILL_MS = 60_000


class Reads:
    def __init__(
        self, ledger: Ledger, terminal: Terminal, settler: Settler, clock: Clock, time: ServerTime, expected: Expected
    ) -> None:
        self._ledger = ledger
        self._terminal = terminal
        self._settler = settler
        self._clock = clock
        self._time = time
        self._expected = expected

    def answer(self, request: Request) -> dict[str, Any]:
        questions = {
            "HELLO": self._hello,
            "POSITIONS": self._positions,
            "ACCOUNT": self._account,
            "DEALS": self._deals,
            "TICK": self._tick,
            "HEARTBEAT": self._heartbeat,
        }
        try:
            if request.action != "HEARTBEAT":
                self._ready(request)
            return questions[request.action](request)
        except Unavailable as error:
            raise Refusal("not_ready", str(error)) from error

    def _ready(self, request: Request) -> None:
        if not self._terminal.attach():
            raise Refusal("not_ready", f"the terminal does not answer: {self._terminal.last_error[1]}")
        self._meant_account(request)

    def _meant_account(self, request: Request) -> Account:
        account = self._terminal.account()
        # Also without a guard: a client takes the account of its first HELLO for its own.
        wrong = another(self._expected, account) or (mismatch(request.guard, account) if request.guard else None)
        if wrong:
            raise Refusal("account_mismatch", wrong, lasting=True)
        return account

    def _synced(self) -> int:
        """For how long the lists could be believed, in milliseconds."""
        self._settler.poll()
        synced = self._settler.synced_for_ms()
        if synced is None:
            raise Refusal(
                "not_synced",
                "the lists may not be whole yet: ask again in a minute, which each start and reconnection takes",
            )
        return synced

    def _hello(self, request: Request) -> dict[str, Any]:
        names = request.payload.get("symbols") or []
        self._settler.watch_symbols(names)
        terminal, account = self._terminal.terminal_info(), self._meant_account(request)
        symbols = {name: self._terminal.symbol(name) for name in names}
        offset = self._time.offset
        return {
            "gateway": VERSION,
            "package": self._terminal.package,
            "terminal": vars(terminal),
            "account": {
                name: getattr(account, name)
                for name in (
                    "login", "server", "trade_mode", "margin_mode", "currency", "currency_digits",
                    "trade_allowed", "trade_expert", "fifo_close",
                )
            },
            "clock": {
                "offset_s": offset.offset_s if offset else None,
                "source": self._time.source,
                "measured_at": offset.measured_at if offset else None,
                "dst": self._time.rule.dst if self._time.rule else None,
                "error_ms": offset.error_ms if offset else None,
            },
            "carriers": self._settler.carriers(account),
            "unsettled": self._ledger.count(UNSETTLED),
            "contradictions": self._settler.contradictions(),
            "symbols": {name: _symbol(symbol) for name, symbol in symbols.items() if symbol is not None},
        }  # fmt: skip

    def _positions(self, request: Request) -> dict[str, Any]:
        synced_ms = self._synced()
        symbol = request.payload.get("symbol")
        positions, orders = self._terminal.positions(), self._terminal.orders()
        missing = self._settler.missing_position(positions)
        if missing is not None:
            raise Refusal("not_synced", f"position {missing} was opened, and the terminal does not list it yet")
        digits, symbols = self._terminal.account().currency_digits, self._symbols()
        return {
            "synced_for_s": synced_ms // 1000,
            "positions": [self._position(p, symbols(p.symbol), digits) for p in positions if symbol in (None, p.symbol)],
            "orders": [self._order(o, symbols(o.symbol)) for o in orders if symbol in (None, o.symbol)],
        }

    def _symbols(self) -> Callable[[str], Symbol | None]:
        """Each symbol is asked for once per reply."""
        return functools.cache(lambda name: self._terminal.symbol(name) if name else None)

    def _position(self, position: Position, symbol: Symbol | None, digits: int) -> dict[str, Any]:
        return {
            "ticket": position.ticket,
            "identifier": position.identifier,
            "symbol": position.symbol,
            "side": position.side,
            "volume": _volume(position.volume, symbol),
            "open_price": _price(position.open_price, symbol),
            "price": _price(position.price, symbol),
            "sl": _price(position.sl, symbol) if position.sl else None,
            "tp": _price(position.tp, symbol) if position.tp else None,
            "profit": _money(position.profit, digits),
            "swap": _money(position.swap, digits),
            **self._carried(position.identifier, position.magic),
            "comment": position.comment,
            "opened_at": self._time.about_utc(position.time_ms),
        }

    def _order(self, order: Order, symbol: Symbol | None) -> dict[str, Any]:
        return {
            "ticket": order.ticket,
            "symbol": order.symbol,
            "side": order.side,
            "volume": _volume(order.volume, symbol),
            "left": _volume(order.left, symbol),
            "state": order.state,
            **self._carried(order.ticket, order.magic),
            "comment": order.comment,
            "set_up_at": self._time.about_utc(order.setup_ms),
        }

    def _carried(self, ticket: int, magic63: int) -> dict[str, Any]:
        """Whose it is: by the ledger where it knows the ticket, else by what the magic number says."""
        row: Row | None = self._ledger.by_ticket(ticket) or self._ledger.by_magic63(magic63)
        tag, magic = split_magic(magic63)
        if row is not None:
            tag, magic = row.record["tag"], row.record["magic"]
        return {"magic": magic, "tag": tag, "id": row.id if row is not None else None}

    def _account(self, request: Request) -> dict[str, Any]:
        del request
        self._synced()
        account: Account = self._terminal.account()
        digits = account.currency_digits
        money = ("balance", "equity", "margin", "margin_free", "margin_level", "profit")
        return {name: _money(getattr(account, name), digits) for name in money} | {"leverage": account.leverage}

    def _deals(self, request: Request) -> dict[str, Any]:
        """A page of deals in the order of their tickets, from `since` and after a ticket."""
        self._synced()
        now = self._clock.now()
        if self._time.rule is None or not self._time.agrees(now):
            raise Refusal("time_unknown", "the server's clock is not known: set [time], and wait for ticks that move")
        since, after = request.payload["since"], request.payload.get("after") or 0
        limit = request.payload.get("limit") or DEALS_MAX
        deals = self._terminal.history_deals(since // 1000 - OFFSET_MAX_S, now // 1000 + LOOKAHEAD_S)
        shown = []
        for deal in sorted((deal for deal in deals if deal.ticket > after), key=lambda deal: deal.ticket):
            time = self._time.past_to_utc(deal.time_ms, now)
            if time is None:
                raise Refusal("time_unknown", f"deal {deal.ticket} lies in an hour that the server's clock shows twice")
            if time >= since:
                shown.append((deal, time))
        digits, symbols = self._terminal.account().currency_digits, self._symbols()
        page = [self._deal(deal, time, symbols(deal.symbol), digits) for deal, time in shown[:limit]]
        return {"deals": page, "next": page[-1]["deal"] if len(shown) > limit else None}

    def _deal(self, deal: Deal, time: int, symbol: Symbol | None, digits: int) -> dict[str, Any]:
        carried = self._carried(deal.order, deal.magic)
        return {
            "deal": deal.ticket,
            "order": deal.order,
            "position": deal.position,
            "time": time,
            "entry": deal.entry,
            "side": deal.side if deal.type in (0, 1) else "balance",
            "reason": deal.reason,
            "symbol": deal.symbol,
            "volume": _volume(deal.volume, symbol),
            "price": _price(deal.price, symbol),
            "profit": _money(deal.profit, digits),
            "commission": _money(deal.commission, digits),
            "swap": _money(deal.swap, digits),
            "fee": _money(deal.fee, digits),
            "magic": carried["magic"],
            "id": carried["id"],
            "comment": deal.comment,
        }

    def _tick(self, request: Request) -> dict[str, Any]:
        name = request.payload["symbol"]
        symbol = self._terminal.symbol(name)
        tick = self._terminal.tick(name) if symbol else None
        if symbol is None or tick is None:
            raise Refusal("bad_request", f"the broker has no symbol {name}", lasting=True)
        self._settler.watch_symbols([name])
        self._settler.saw_tick(name, tick.time_ms)
        now = self._clock.now()
        time = self._time.current_to_utc(tick.time_ms, now)
        if time is None:
            raise Refusal("time_unknown", "the server's clock is not known yet: wait for ticks that move")
        moved = self._settler.tick_age_ms()
        return {
            "bid": symbol.price(tick.bid),
            "ask": symbol.price(tick.ask),
            "time": time,
            "age_ms": max(0, now - time),
            "moving": moved is not None and moved < TICK_STILL_MS,
        }

    def _heartbeat(self, request: Request) -> dict[str, Any]:
        del request
        connected = self._settler.poll()
        return {
            "terminal": "ready" if self._terminal.attached else "lost",
            "connected": connected,
            "unsettled": self._ledger.count(UNSETTLED),
            "contradictions": self._settler.contradictions(),
            "tick_age_ms": self._settler.tick_age_ms(),
        }


def _symbol(symbol: Symbol) -> dict[str, Any]:
    return {
        "digits": symbol.digits,
        "point": text_of(symbol.point),
        "tick_size": text_of(symbol.tick_size),
        "volume_min": text_of(symbol.volume_min),
        "volume_step": text_of(symbol.volume_step),
        "volume_max": text_of(symbol.volume_max),
        "stops_level": symbol.stops_level,
        "freeze_level": symbol.freeze_level,
        "execution": symbol.execution,
        "filling": rules.fillings(symbol),
        "contract_size": text_of(symbol.contract_size),
        "trade_mode": symbol.trade_mode,
    }


def _volume(volume: Any, symbol: Symbol | None) -> str:
    if symbol is None:
        return text_of(volume)
    decimals = max(0, -int(symbol.volume_step.normalize().as_tuple().exponent))
    return f"{volume:.{decimals}f}"


def _price(price: float, symbol: Symbol | None) -> str:
    return symbol.price(price) if symbol is not None else repr(price)


def _money(amount: float, digits: int) -> str:
    shown = f"{amount:.{digits}f}"
    # A loss that rounds to nothing is nothing.
    return shown.lstrip("-") if float(shown) == 0 else shown
