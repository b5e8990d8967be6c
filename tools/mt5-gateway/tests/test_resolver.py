"""The resolver's decision alone: one look at the terminal, and what it proves."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sentinel_gateway.facts import Deal, Order, Position
from sentinel_gateway.resolver import Facts, Limits, Listing, Wanted, resolve

MAGIC63 = 2395021100 << 31 | 2017
COMMENT = "sn:r3ar6lghirjahvx7cs42"
LIMITS = Limits(absent_after_ms=300_000, connected_ms=30_000, apart_ms=10_000, complete_ms=60_000)
NOW = 1_000_000

WANTED = Wanted(
    symbol="EURUSD", side="buy", volume=Decimal("0.10"), magic63=MAGIC63, comment=COMMENT, hedging=True, t_sending=NOW - 400_000
)
# Everything that absence asks for.
LONG = Facts(
    now=NOW,
    steady=NOW,
    same_account=True,
    connected_since=NOW - 350_000,
    waiting_since=NOW - 350_000,
    tick_moved_at=NOW - 1_000,
    newest_known_listed=True,
    carriers_intact=False,
    nothing_since=NOW - 20_000,
)
ORDER = Order(9001, "EURUSD", "buy", Decimal("0.10"), Decimal(0), "filled", "expert", MAGIC63, COMMENT, 9001, 0, False)
DEAL = Deal(9102, 9001, 9001, "EURUSD", 0, Decimal("0.10"), 1.15, "in", "expert", MAGIC63, COMMENT)
POSITION = Position(9001, 9001, "EURUSD", "buy", Decimal("0.10"), 1.15, MAGIC63, COMMENT)
FOREIGN = replace(ORDER, ticket=9044, magic=0, comment="", position=9044)


def kind(seen: Listing, facts: Facts = LONG, wanted: Wanted = WANTED) -> tuple[str, str | None]:
    verdict = resolve(wanted, seen, facts, LIMITS)
    return verdict.kind, verdict.proof


def test_an_empty_list_proves_absence_only_when_everything_holds() -> None:
    assert kind(Listing()) == ("absent", "history")


@pytest.mark.parametrize(
    "change",
    [
        {"same_account": False},
        {"connected_since": None},
        {"connected_since": NOW - 29_999},
        {"waiting_since": NOW - 299_999},
        {"tick_moved_at": None},
        {"tick_moved_at": NOW - 400_000},
        {"newest_known_listed": False},
        {"nothing_since": None},
        {"nothing_since": NOW - 9_999},
    ],
)
def test_absence_waits_for_each_condition(change: dict[str, Any]) -> None:
    assert kind(Listing(), replace(LONG, **change)) == ("wait", None)


@pytest.mark.parametrize(
    "change",
    [
        {"t_sending": NOW - 299_999},
        {"interrupted": True},
        {"interrupted": True, "t_session": NOW - 299_999},
    ],
)
def test_absence_waits_long_after_sending_and_after_a_new_session(change: dict[str, Any]) -> None:
    assert kind(Listing(), wanted=replace(WANTED, **change)) == ("wait", None)


def test_a_new_session_long_ago_lets_absence_be_proven() -> None:
    assert kind(Listing(), wanted=replace(WANTED, interrupted=True, t_session=NOW - 300_000)) == ("absent", "history")


def test_an_order_with_its_deals_is_done_at_once() -> None:
    verdict = resolve(WANTED, Listing((ORDER,), (DEAL,)), replace(LONG, connected_since=None), LIMITS)
    assert (verdict.kind, verdict.proof, verdict.order, verdict.deals) == ("done", "deals", 9001, (9102,))
    assert (verdict.filled, verdict.price, verdict.position) == (Decimal("0.10"), Decimal("1.15"), 9001)


@pytest.mark.parametrize("keep", ["magic", "comment"])
def test_either_carrier_alone_finds_the_order(keep: str) -> None:
    lost: dict[str, Any] = {"magic": 0} if keep == "comment" else {"comment": "by broker"}
    assert kind(Listing((replace(ORDER, **lost),), (replace(DEAL, **lost),))) == ("done", "deals")


@pytest.mark.parametrize("comment", [COMMENT[:14], "", "[sl 1.1]", COMMENT[:14] + "X"])
def test_a_comment_that_lost_its_first_15_characters_names_nothing(comment: str) -> None:
    order = replace(ORDER, magic=0, comment=comment)
    assert kind(Listing((order,), (replace(DEAL, magic=0, comment=comment),)))[0] == "held"


def test_a_comment_on_another_symbol_is_another_order() -> None:
    assert kind(Listing((replace(ORDER, symbol="GBPUSD", magic=0),))) == ("absent", "history")


@pytest.mark.parametrize("state", ["canceled", "rejected", "expired"])
def test_an_order_that_ended_without_deals_is_refused(state: str) -> None:
    assert kind(Listing((replace(ORDER, state=state, left=Decimal("0.10")),))) == ("refused", "order")


def test_an_order_that_ended_with_a_part_is_done_with_that_part() -> None:
    order = replace(ORDER, state="canceled", left=Decimal("0.06"))
    verdict = resolve(WANTED, Listing((order,), (replace(DEAL, volume=Decimal("0.04")),)), LONG, LIMITS)
    assert (verdict.kind, verdict.filled) == ("done", Decimal("0.04"))


def test_deals_that_are_missing_are_waited_for_and_then_done_without_a_price() -> None:
    early = replace(WANTED, t_sending=NOW - 59_999)
    assert kind(Listing((ORDER,)), wanted=early) == ("wait", None)
    verdict = resolve(WANTED, Listing((ORDER,)), LONG, LIMITS)
    assert (verdict.kind, verdict.filled, verdict.price) == ("done", Decimal("0.10"), None)


def test_deals_of_a_part_alone_say_nothing_yet() -> None:
    part = Listing((), (replace(DEAL, volume=Decimal("0.04")),))
    assert kind(part, wanted=replace(WANTED, t_sending=NOW - 100_000)) == ("wait", None)
    assert kind(part, replace(LONG, newest_known_listed=False)) == ("wait", None)
    assert kind(part) == ("done", "deals")


def test_a_position_of_a_part_alone_says_nothing_while_the_lists_end_too_early() -> None:
    part = Listing(positions=(replace(POSITION, volume=Decimal("0.04")),))
    assert kind(part, replace(LONG, newest_known_listed=False)) == ("wait", None)
    assert kind(part) == ("done", "position")


def test_an_active_order_is_placed() -> None:
    active = replace(ORDER, state="placed", active=True, left=Decimal("0.10"))
    assert kind(Listing((active,))) == ("placed", None)


def test_two_orders_with_one_id_are_held_with_an_alarm() -> None:
    verdict = resolve(WANTED, Listing((ORDER, replace(ORDER, ticket=9002))), LONG, LIMITS)
    assert (verdict.kind, verdict.alarm, len(verdict.candidates)) == ("held", True, 2)


def test_the_brokers_own_stop_is_not_a_second_order() -> None:
    stop = replace(ORDER, ticket=9005, side="sell", reason="sl", position=9001)
    same_side = replace(ORDER, ticket=9006, reason="so", position=9001)
    assert kind(Listing((ORDER, stop, same_side), (DEAL,))) == ("done", "deals")


def test_a_hedging_position_alone_is_enough() -> None:
    assert kind(Listing(positions=(POSITION,))) == ("done", "position")
    assert kind(Listing(positions=(POSITION,)), wanted=replace(WANTED, hedging=False)) == ("absent", "history")


@pytest.mark.parametrize(
    ("foreign", "held"),
    [
        (FOREIGN, True),
        (replace(FOREIGN, magic=7, comment="another program"), True),
        (replace(FOREIGN, side="sell"), False),
        (replace(FOREIGN, symbol="GBPUSD"), False),
        (replace(FOREIGN, volume=Decimal("0.20")), False),
        (replace(FOREIGN, reason="sl"), False),
        (replace(FOREIGN, position=7), False),
    ],
)
def test_what_may_be_the_order_without_its_carriers_holds_it(foreign: Order, held: bool) -> None:
    assert kind(Listing((foreign,)))[0] == ("held" if held else "absent")


def test_a_lookalike_does_not_matter_once_it_is_known_or_carriers_are_proven() -> None:
    assert kind(Listing((FOREIGN,)), wanted=replace(WANTED, baseline=frozenset({9044}))) == ("absent", "history")
    assert kind(Listing((FOREIGN,), others=frozenset({9044}))) == ("absent", "history")
    assert kind(Listing((FOREIGN,)), replace(LONG, carriers_intact=True)) == ("absent", "history")
    assert kind(Listing((FOREIGN,)), wanted=replace(WANTED, baseline_before=1)) == ("absent", "history")


def test_a_deal_or_position_without_its_order_can_be_a_lookalike() -> None:
    deal = replace(DEAL, order=9044, position=9044, magic=0, comment="")
    assert kind(Listing(deals=(deal,)))[0] == "held"
    position = replace(POSITION, ticket=9044, identifier=9044, magic=0, comment="")
    assert kind(Listing(positions=(position,)))[0] == "held"


def test_a_ticket_that_was_told_finds_the_order_without_carriers() -> None:
    bare = replace(ORDER, magic=0, comment="")
    told = replace(WANTED, ticket=9001)
    assert kind(Listing((bare,), (replace(DEAL, magic=0, comment=""),)), wanted=told) == ("done", "deals")


def test_a_close_is_only_taken_for_an_order_of_its_position() -> None:
    close = replace(WANTED, side="sell", closes=9001)
    other = replace(FOREIGN, side="sell", position=9002)
    same = replace(FOREIGN, side="sell", position=9001)
    assert kind(Listing((other,)), wanted=close) == ("absent", "history")
    assert kind(Listing((same,)), wanted=close)[0] == "held"


def test_what_was_told_as_done_is_refused_by_its_own_end_and_else_stands_when_no_list_shows_it() -> None:
    told = replace(WANTED, ticket=9001, told_done=True)
    rejected = replace(ORDER, state="rejected", left=Decimal("0.10"))
    assert kind(Listing((rejected,)), wanted=told) == ("refused", "order")
    assert kind(Listing(), replace(LONG, newest_known_listed=False), told) == ("wait", None)
    assert kind(Listing(), wanted=told) == ("done", "order")
