"""A row of the ledger as the resolver sees it, and numbers as the Record shows them."""

from decimal import Decimal
from typing import Any

from sentinel_gateway.facts import text_of
from sentinel_gateway.ledger import Row
from sentinel_gateway.resolver import Wanted
from sentinel_gateway.retcodes import DONE


def wanted_of(row: Row) -> Wanted | None:
    """What to look for. `None` where a question did not say enough."""
    payload = row.payload
    if row.action == "MODIFY":
        if not all(payload.get(name) for name in ("ticket", "symbol")) or not {"sl", "tp"} <= set(payload):
            return None
        return Wanted(
            payload["symbol"], "", Decimal(0), None, None, row.hedging, row.t_sending or 0,
            interrupted=row.interrupted, t_session=row.t_session,
        )  # fmt: skip
    if not all(payload.get(name) for name in ("symbol", "side", "volume")):
        return None
    return Wanted(
        symbol=payload["symbol"],
        side=payload["side"],
        volume=Decimal(payload["volume"]),
        magic63=row.magic63,
        comment=row.comment,
        hedging=row.hedging,
        t_sending=row.t_sending or 0,
        ticket=row.ticket,
        told_done=told_done(row),
        closes=payload.get("identifier") if row.action == "CLOSE" else None,
        interrupted=row.interrupted,
        t_session=row.t_session,
        baseline=frozenset(row.baseline),
        baseline_before=row.baseline_before,
    )


def told_done(row: Row) -> bool:
    """Whether the broker said that all of it is done, and under which ticket."""
    return row.action in ("OPEN", "CLOSE") and row.ticket is not None and row.record["retcode"] == DONE


def lasting_number(row: Row) -> int:
    """What names the position of a CLOSE or MODIFY for good: on a hedging account its identifier, else the ticket."""
    number = row.payload.get("identifier") if row.hedging else None
    return int(number or row.payload["ticket"])


def asked_levels(payload: dict[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    sl, tp = payload.get("sl"), payload.get("tp")
    return (Decimal(sl) if sl else None, Decimal(tp) if tp else None)


def like_volume(volume: Decimal, asked: str | None) -> str:
    """A volume with as many decimals as the one that was asked for, if it needs no more."""
    decimals = len(asked.partition(".")[2]) if asked else 0
    shown = f"{volume:.{decimals}f}"
    return shown if Decimal(shown) == volume else text_of(volume)


def price_text(price: Decimal | None) -> str | None:
    return None if price is None else text_of(price.quantize(Decimal("0.0000000001")))
