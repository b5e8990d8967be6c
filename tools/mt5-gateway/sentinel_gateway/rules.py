"""Trading rules that are checked before anything leaves. What does not fit is refused and never rounded."""

from decimal import Decimal

from sentinel_gateway.facts import Symbol, Tick, decimal_of, text_of

FOK, IOC, RETURN = 0, 1, 2
FILLING = {"fok": FOK, "ioc": IOC, "return": RETURN}
# Bits of a symbol's filling mode. The wheel has no names for them.
MASK_FOK, MASK_IOC = 1, 2


def filling_of(symbol: Symbol) -> str | None:
    """The filling that this symbol's execution allows, or `None`."""
    if symbol.execution in ("request", "instant"):
        return "fok"
    if symbol.filling_mask & MASK_FOK:
        return "fok"
    if symbol.filling_mask & MASK_IOC:
        return "ioc"
    return "return" if symbol.execution == "exchange" else None


def fillings(symbol: Symbol) -> list[str]:
    allowed = [name for name, mask in (("fok", MASK_FOK), ("ioc", MASK_IOC)) if symbol.filling_mask & mask]
    if symbol.execution in ("request", "instant"):
        return ["fok"]
    return [*allowed, "return"] if symbol.execution == "exchange" else allowed


def volume_complaint(symbol: Symbol, volume: Decimal, most: Decimal | None = None) -> str | None:
    """Why this volume cannot be traded. `most` is what a position has left."""
    if most is not None:
        if volume > most:
            return f"the position has {text_of(most)} lots, not {text_of(volume)}"
        if volume == most:
            return None
    if volume < symbol.volume_min or volume > symbol.volume_max:
        return f"{text_of(volume)} lots are outside {text_of(symbol.volume_min)} to {text_of(symbol.volume_max)}"
    if (volume - symbol.volume_min) % symbol.volume_step != 0:
        return f"{text_of(volume)} lots are no step of {text_of(symbol.volume_step)}"
    return None


def grid_complaint(symbol: Symbol, sl: Decimal | None, tp: Decimal | None) -> str | None:
    """Why these levels can never be set."""
    for name, level in (("sl", sl), ("tp", tp)):
        if level is not None and level % symbol.tick_size != 0:
            return f"{name} {text_of(level)} is no multiple of {text_of(symbol.tick_size)}"
    return None


def distance_complaint(symbol: Symbol, tick: Tick, side: str, sl: Decimal | None, tp: Decimal | None) -> str | None:
    """Why these levels cannot be set at this price. A buy's are measured from the bid, a sell's from the ask."""
    base = decimal_of(tick.bid if side == "buy" else tick.ask)
    sign = 1 if side == "buy" else -1
    gap = symbol.stops_level * symbol.point
    for name, level, away in (("sl", sl, -sign), ("tp", tp, sign)):
        if level is None:
            continue
        distance = (level - base) * away
        if distance <= 0 or distance < gap:
            return f"{name} {text_of(level)} is too near to {text_of(base)} or on its wrong side"
    return None


def side_complaint(symbol: Symbol, side: str, closing: bool) -> str | None:
    """Why the symbol does not trade this way today."""
    allowed = {
        "full": True,
        "long_only": side == "buy" or closing,
        "short_only": side == "sell" or closing,
        "close_only": closing,
    }
    return None if allowed.get(symbol.trade_mode, False) else f"{symbol.name} is {symbol.trade_mode}"
