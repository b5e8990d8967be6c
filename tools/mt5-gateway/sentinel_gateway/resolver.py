"""What became of an order: a pure function of the order, of what the terminal lists, and of the time.

It never says `absent` because a list is empty. Absence needs a long time, a terminal that was connected all along, a price
that moved, a list that holds the newest order known, and a second look; and nothing in the lists that could be the order
without its carriers. Where such a thing exists, asking cannot settle it, and a person does.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sentinel_gateway.carriers import same_comment
from sentinel_gateway.facts import Deal, Order, Position, opposite, text_of

# An order that the broker's own stop made carries the magic number of the position that it closes.
BROKERS_OWN = frozenset({"sl", "tp", "so"})
ENDED = frozenset({"canceled", "rejected", "expired", "filled"})


@dataclass(frozen=True)
class Wanted:
    """The order that is looked for."""

    symbol: str
    side: str
    volume: Decimal
    magic63: int | None
    comment: str | None
    hedging: bool
    t_sending: int
    ticket: int | None = None
    # Whether the broker said that it is done. Evidence goes before that word, and where there is none the word stands.
    told_done: bool = False
    # The position that a CLOSE closes.
    closes: int | None = None
    interrupted: bool = False
    t_session: int | None = None
    baseline: frozenset[int] = frozenset()
    # Server time, in milliseconds: an order set up before it is another one.
    baseline_before: int | None = None


@dataclass(frozen=True)
class Listing:
    """One look at everything that the terminal lists. Orders of other requests are known by their tickets."""

    orders: tuple[Order, ...] = ()
    deals: tuple[Deal, ...] = ()
    positions: tuple[Position, ...] = ()
    others: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Facts:
    """What is known about the terminal and the time, in milliseconds: UTC, or of the steady clock."""

    now: int
    steady: int
    same_account: bool
    # Steady, as all that follows and ends with `since`.
    connected_since: int | None
    # Since when this process waits for this order.
    waiting_since: int
    tick_moved_at: int | None
    newest_known_listed: bool
    carriers_intact: bool
    # Since when every look at this order found nothing, under conditions that allow to say so.
    nothing_since: int | None


@dataclass(frozen=True)
class Limits:
    absent_after_ms: int
    connected_ms: int
    apart_ms: int
    complete_ms: int


@dataclass(frozen=True)
class Verdict:
    """`kind` is a state of the Record, or `wait`. `nothing` says that this look found nothing and could have."""

    kind: str
    proof: str | None = None
    order: int | None = None
    deals: tuple[int, ...] = ()
    position: int | None = None
    filled: Decimal | None = None
    price: Decimal | None = None
    text: str = ""
    candidates: tuple[dict[str, Any], ...] = field(default=())
    alarm: bool = False
    nothing: bool = False


WAIT = Verdict("wait")


def resolve(wanted: Wanted, seen: Listing, facts: Facts, limits: Limits) -> Verdict:
    """What this look at the terminal proves about the order."""
    if not facts.same_account:
        return WAIT
    tickets = _tickets(wanted, seen)
    if len(tickets) > 1:
        return Verdict("held", text="two orders carry this id", candidates=_candidates(tickets, seen), alarm=True)
    if tickets:
        return _of_order(wanted, tickets.pop(), seen, facts, limits)
    position = _lone_position(wanted, seen)
    if position is not None:
        return _of_position(wanted, position, facts, limits)
    if not _could_have_seen(wanted, facts, limits):
        return WAIT
    if facts.nothing_since is None or facts.steady - facts.nothing_since < limits.apart_ms:
        return Verdict("wait", nothing=True)
    if wanted.told_done:
        return Verdict("done", "order", wanted.ticket, filled=wanted.volume, text="no list shows what the broker said was done")
    alike = () if facts.carriers_intact or wanted.ticket else lookalikes(wanted, seen)
    if alike:
        text = "carriers unproven, and the terminal lists what may be this order"
        return Verdict("held", text=text, candidates=_candidates(set(alike), seen), nothing=True)
    return Verdict("absent", proof="history", text="the terminal's history does not hold this order", nothing=True)


def _fits(wanted: Wanted, symbol: str, side: str, reason: str) -> bool:
    return symbol == wanted.symbol and side == wanted.side and reason not in BROKERS_OWN


def _carries(wanted: Wanted, magic: int, comment: str) -> bool:
    if wanted.magic63 is not None and magic == wanted.magic63:
        return True
    return wanted.comment is not None and same_comment(comment, wanted.comment)


def _tickets(wanted: Wanted, seen: Listing) -> set[int]:
    """The orders that carry this id, and the one whose ticket was told."""
    found = {
        order.ticket
        for order in seen.orders
        if _fits(wanted, order.symbol, order.side, order.reason) and _carries(wanted, order.magic, order.comment)
    }
    found |= {
        deal.order
        for deal in seen.deals
        if _fits(wanted, deal.symbol, deal.side, deal.reason) and _carries(wanted, deal.magic, deal.comment)
    }
    if wanted.ticket is not None:
        listed = {order.ticket for order in seen.orders} | {deal.order for deal in seen.deals}
        found |= {wanted.ticket} & listed
    return found


def _of_order(wanted: Wanted, ticket: int, seen: Listing, facts: Facts, limits: Limits) -> Verdict:
    deals = [deal for deal in seen.deals if deal.order == ticket]
    ended = [order for order in seen.orders if order.ticket == ticket and order.state in ENDED]
    active = any(order.ticket == ticket and order.active for order in seen.orders)
    executed = sum((deal.volume for deal in deals), Decimal(0))
    patient = facts.now - wanted.t_sending < limits.complete_ms
    if ended:
        filled = ended[0].volume if ended[0].state == "filled" else ended[0].filled
        filled = max(filled, executed)
        if filled == 0:
            return Verdict("refused", "order", ticket, filled=filled, text=f"the order was {ended[0].state}")
        if executed != filled:
            # The order's own end says how much; its deals are still missing.
            return WAIT if patient else Verdict("done", "order", ticket, filled=filled, text="deals are missing")
        return _done(ticket, deals)
    if executed >= wanted.volume:
        return _done(ticket, deals)
    if active or not deals:
        return Verdict("placed", order=ticket, text="the order is in the market")
    # Deals of a part, and no order that would say whether more will come.
    return _done(ticket, deals) if _could_have_seen(wanted, facts, limits) else WAIT


def _done(ticket: int, deals: list[Deal]) -> Verdict:
    filled = sum((deal.volume for deal in deals), Decimal(0))
    position = next((deal.position for deal in deals if deal.position), None)
    return Verdict(
        "done",
        "deals",
        ticket,
        deals=tuple(sorted(deal.ticket for deal in deals)),
        position=position,
        filled=filled,
        price=mean_price(deals),
    )


def mean_price(deals: list[Deal]) -> Decimal | None:
    """The price of all deals, weighed by volume."""
    volume = sum((deal.volume for deal in deals), Decimal(0))
    if volume == 0:
        return None
    return sum((deal.volume * Decimal(repr(deal.price)) for deal in deals), Decimal(0)) / volume


def _lone_position(wanted: Wanted, seen: Listing) -> Position | None:
    """A hedging account's position that carries this id although no list shows its order."""
    if not wanted.hedging or wanted.closes is not None:
        return None
    for position in seen.positions:
        if position.symbol != wanted.symbol or position.side != wanted.side:
            continue
        if _carries(wanted, position.magic, position.comment) or position.identifier == wanted.ticket:
            return position
    return None


def _of_position(wanted: Wanted, position: Position, facts: Facts, limits: Limits) -> Verdict:
    whole = position.volume == wanted.volume
    if not whole and not _could_have_seen(wanted, facts, limits):
        return WAIT
    return Verdict(
        "done",
        "position",
        position.identifier,
        # As its deals name it, and for as long as it is open.
        position=position.identifier,
        filled=position.volume,
        price=Decimal(repr(position.open_price)),
    )


def _since(wanted: Wanted) -> int:
    """The last moment at which the request can have reached the terminal."""
    return max(wanted.t_sending, wanted.t_session or 0) if wanted.interrupted else wanted.t_sending


def _could_have_seen(wanted: Wanted, facts: Facts, limits: Limits) -> bool:
    """Whether an order that exists would be in this look's lists.

    Both clocks must say that it is long ago: one may have been set, and the other begins with the process.
    """
    if wanted.interrupted and wanted.t_session is None:
        return False
    since = _since(wanted)
    return (
        facts.now - since >= limits.absent_after_ms
        and facts.steady - facts.waiting_since >= limits.absent_after_ms
        and facts.connected_since is not None
        and facts.steady - facts.connected_since >= limits.connected_ms
        and facts.tick_moved_at is not None
        and facts.tick_moved_at > since
        and facts.newest_known_listed
    )


def lookalikes(wanted: Wanted, seen: Listing) -> tuple[int, ...]:
    """Orders of nobody known that may be this one without its carriers."""
    found = {order.ticket for order in seen.orders if _alike(wanted, order)}
    # A deal or position whose order no list shows yet.
    listed = {order.ticket for order in seen.orders}
    found |= {
        deal.order
        for deal in seen.deals
        if deal.order
        and deal.order not in listed
        and _fits(wanted, deal.symbol, deal.side, deal.reason)
        and (wanted.closes is None or deal.position == wanted.closes)
    }
    if wanted.hedging and wanted.closes is None:
        found |= {
            position.identifier
            for position in seen.positions
            if position.identifier not in listed and (position.symbol, position.side) == (wanted.symbol, wanted.side)
        }
    return tuple(sorted(found - wanted.baseline - seen.others))


def _alike(wanted: Wanted, order: Order) -> bool:
    if not _fits(wanted, order.symbol, order.side, order.reason) or order.volume != wanted.volume:
        return False
    if wanted.baseline_before is not None and order.setup_ms < wanted.baseline_before:
        return False
    if not wanted.hedging:
        return True
    # On a hedging account an order says which position it closes; one that opens is its own position.
    return order.position in ((0, wanted.closes) if wanted.closes else (0, order.ticket))


def _candidates(tickets: set[int], seen: Listing) -> tuple[dict[str, Any], ...]:
    orders = {order.ticket: order for order in seen.orders}
    deals = {deal.order: deal for deal in seen.deals}
    positions = {position.identifier: position for position in seen.positions}
    shown = []
    for ticket in sorted(tickets)[:16]:
        known: Order | Deal | Position | None = orders.get(ticket) or deals.get(ticket) or positions.get(ticket)
        if known is None:
            continue
        shown.append(
            {
                "order": ticket,
                "side": known.side,
                "volume": text_of(known.volume),
                "magic63": str(known.magic),
                "comment": known.comment,
            }
        )
    return tuple(shown)


def side_that_closes(position_side: str) -> str:
    return opposite(position_side)


def resolve_levels(
    asked: tuple[Decimal | None, Decimal | None],
    wanted: Wanted,
    position: Position | None,
    facts: Facts,
    limits: Limits,
) -> Verdict:
    """A MODIFY is settled by the position's own levels."""
    if not facts.same_account:
        return WAIT
    if position is not None and levels_of(position) == asked:
        return Verdict("done", "levels", position=position.ticket)
    if not _could_have_seen(wanted, facts, limits):
        return WAIT
    if facts.nothing_since is None or facts.steady - facts.nothing_since < limits.apart_ms:
        return Verdict("wait", nothing=True)
    gone = position is None
    return Verdict("absent", "history", text="the position is gone" if gone else "the levels are others", nothing=True)


def levels_of(position: Position) -> tuple[Decimal | None, Decimal | None]:
    def level(number: float) -> Decimal | None:
        return Decimal(repr(number)).quantize(Decimal("0.0000000001")) if number else None

    return level(position.sl), level(position.tp)
