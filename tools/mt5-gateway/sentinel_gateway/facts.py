"""What the terminal says, as plain values. Money and prices become exact decimals at this border."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

TRADE_MODE = {0: "demo", 1: "contest", 2: "real"}
MARGIN_MODE = {0: "netting", 1: "exchange", 2: "hedging"}
EXECUTION = {0: "request", 1: "instant", 2: "market", 3: "exchange"}
SYMBOL_MODE = {0: "disabled", 1: "long_only", 2: "short_only", 3: "close_only", 4: "full"}
REASON = {0: "client", 1: "mobile", 2: "web", 3: "expert", 4: "sl", 5: "tp", 6: "so"}
ENTRY = {0: "in", 1: "out", 2: "inout", 3: "out_by"}
ORDER_STATE = {
    0: "started",
    1: "placed",
    2: "canceled",
    3: "partial",
    4: "filled",
    5: "rejected",
    6: "expired",
}
DEAL_BALANCE = 2
# Volumes have at most eight decimals; what a float adds beyond is noise.
VOLUME_UNIT = Decimal("0.00000001")


def volume_of(number: float) -> Decimal:
    return Decimal(repr(float(number))).quantize(VOLUME_UNIT)


def decimal_of(number: float) -> Decimal:
    return Decimal(repr(float(number)))


@dataclass(frozen=True)
class TerminalFacts:
    build: int
    connected: bool
    trade_allowed: bool
    tradeapi_disabled: bool


@dataclass(frozen=True)
class Account:
    login: int
    server: str
    trade_mode: str
    margin_mode: str
    currency: str
    currency_digits: int
    trade_allowed: bool
    trade_expert: bool
    fifo_close: bool
    leverage: int
    balance: float
    equity: float
    profit: float
    margin: float
    margin_free: float
    margin_level: float

    @staticmethod
    def of(raw: Any) -> "Account":
        return Account(
            login=raw.login,
            server=raw.server,
            trade_mode=TRADE_MODE.get(raw.trade_mode, "unknown"),
            margin_mode=MARGIN_MODE.get(raw.margin_mode, "unknown"),
            currency=raw.currency,
            currency_digits=raw.currency_digits,
            trade_allowed=bool(raw.trade_allowed),
            trade_expert=bool(raw.trade_expert),
            fifo_close=bool(raw.fifo_close),
            leverage=raw.leverage,
            balance=raw.balance,
            equity=raw.equity,
            profit=raw.profit,
            margin=raw.margin,
            margin_free=raw.margin_free,
            margin_level=raw.margin_level,
        )


@dataclass(frozen=True)
class Symbol:
    name: str
    digits: int
    point: Decimal
    tick_size: Decimal
    volume_min: Decimal
    volume_step: Decimal
    volume_max: Decimal
    stops_level: int
    freeze_level: int
    execution: str
    filling_mask: int
    contract_size: Decimal
    trade_mode: str
    visible: bool

    @staticmethod
    def of(raw: Any) -> "Symbol":
        return Symbol(
            name=raw.name,
            digits=raw.digits,
            point=decimal_of(raw.point),
            tick_size=decimal_of(raw.trade_tick_size or raw.point),
            volume_min=volume_of(raw.volume_min).normalize(),
            volume_step=volume_of(raw.volume_step).normalize(),
            volume_max=volume_of(raw.volume_max).normalize(),
            stops_level=raw.trade_stops_level,
            freeze_level=raw.trade_freeze_level,
            execution=EXECUTION.get(raw.trade_exemode, "unknown"),
            filling_mask=raw.filling_mode,
            contract_size=decimal_of(raw.trade_contract_size),
            trade_mode=SYMBOL_MODE.get(raw.trade_mode, "unknown"),
            visible=bool(raw.visible),
        )

    def price(self, number: float) -> str:
        return f"{number:.{self.digits}f}"


@dataclass(frozen=True)
class Tick:
    bid: float
    ask: float
    time_ms: int


@dataclass(frozen=True)
class Order:
    """An order of either list; `active` says which."""

    ticket: int
    symbol: str
    side: str
    volume: Decimal
    left: Decimal
    state: str
    reason: str
    magic: int
    comment: str
    position: int
    setup_ms: int
    active: bool
    sl: float = 0.0
    tp: float = 0.0

    @staticmethod
    def of(raw: Any, active: bool) -> "Order":
        return Order(
            ticket=raw.ticket,
            symbol=raw.symbol,
            side=side_of(raw.type),
            volume=volume_of(raw.volume_initial),
            left=volume_of(raw.volume_current),
            state=ORDER_STATE.get(raw.state, "unknown"),
            reason=REASON.get(raw.reason, "other"),
            magic=raw.magic,
            comment=raw.comment,
            position=raw.position_id,
            setup_ms=raw.time_setup_msc,
            active=active,
            sl=raw.sl,
            tp=raw.tp,
        )

    @property
    def filled(self) -> Decimal:
        return self.volume - self.left


@dataclass(frozen=True)
class Deal:
    ticket: int
    order: int
    position: int
    symbol: str
    type: int
    volume: Decimal
    price: float
    entry: str
    reason: str
    magic: int
    comment: str
    time_ms: int = 0
    profit: float = 0.0
    commission: float = 0.0
    swap: float = 0.0
    fee: float = 0.0

    @property
    def side(self) -> str:
        return side_of(self.type)

    @staticmethod
    def of(raw: Any) -> "Deal":
        return Deal(
            ticket=raw.ticket,
            order=raw.order,
            position=raw.position_id,
            symbol=raw.symbol,
            type=raw.type,
            volume=volume_of(raw.volume),
            price=raw.price,
            entry=ENTRY.get(raw.entry, "unknown"),
            reason=REASON.get(raw.reason, "other"),
            magic=raw.magic,
            comment=raw.comment,
            time_ms=raw.time_msc,
            profit=raw.profit,
            commission=raw.commission,
            swap=raw.swap,
            fee=raw.fee,
        )


@dataclass(frozen=True)
class Position:
    ticket: int
    identifier: int
    symbol: str
    side: str
    volume: Decimal
    open_price: float
    magic: int
    comment: str
    sl: float = 0.0
    tp: float = 0.0
    price: float = 0.0
    profit: float = 0.0
    swap: float = 0.0
    time_ms: int = 0

    @staticmethod
    def of(raw: Any) -> "Position":
        return Position(
            ticket=raw.ticket,
            identifier=raw.identifier,
            symbol=raw.symbol,
            side=side_of(raw.type),
            volume=volume_of(raw.volume),
            open_price=raw.price_open,
            magic=raw.magic,
            comment=raw.comment,
            sl=raw.sl,
            tp=raw.tp,
            price=raw.price_current,
            profit=raw.profit,
            swap=raw.swap,
            time_ms=raw.time_msc,
        )


def position_of(positions: Iterable[Position], number: int, *, hedging: bool) -> Position | None:
    """The position with this ticket, else the one with this identifier.

    A broker may open a position again at the swap, under another ticket. On a hedging account it is still the same position. On
    a netting account the ticket changes when an order turns the position round, and who means the old one does not mean this.
    """
    positions = list(positions)
    found = next((position for position in positions if position.ticket == number), None)
    if found is None and hedging:
        found = next((position for position in positions if position.identifier == number), None)
    return found


def side_of(type: int) -> str:
    """Buy and sell of market and pending orders, of deals and of positions: even types buy."""
    return "buy" if type in (0, 2, 4, 6) else "sell"


def opposite(side: str) -> str:
    return "sell" if side == "buy" else "buy"


def text_of(number: Decimal) -> str:
    """A decimal without an exponent and without zeros at its end."""
    number = number.normalize()
    return f"{number:f}"
