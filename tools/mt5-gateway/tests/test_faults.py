"""Each fault of the terminal, and what the Record says in the end."""

from typing import Any

import pytest

from fake_terminal.faults import LASTING, PASSING
from judge import judge
from simulated import World, open_payload, verdict_of

LAGS = {"orders": 30.0, "positions": 35.0, "history_orders": 40.0, "history_deals": 25.0}
LOST = {"comment": "comment_emptied", "magic": "magic_zero"}


def reopened(world: World) -> dict[str, Any]:
    """A new position that the broker has put under another ticket at the swap."""
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    world.broker.reopen_positions()
    listed = world.ask("POSITIONS")
    assert listed is not None
    position: dict[str, Any] = listed["data"]["positions"][-1]
    assert position["identifier"] == opened["data"]["position"] != position["ticket"]
    return position


def outcome(world: World, plan: dict[str, Any], symbol: str = "EURUSD") -> dict[str, Any]:
    """The final Record of one order under a plan, which the judge agrees with."""
    world.plan(plan)
    message = world.order("OPEN", open_payload(symbol=symbol))
    reply = world.send(message)
    record: dict[str, Any] | None = reply["data"] if reply else None
    if record is None or not record["final"]:
        record = world.settled(message)
    world.wait(200, 10)
    last: dict[str, Any] = world.status(message)["data"]
    world.verdicts.append(verdict_of(message, last))
    findings = judge(world.events(), world.verdicts)
    assert findings.clean, vars(findings)
    assert last["state"] == record["state"]
    return last


@pytest.mark.parametrize("pipe", ["kill_before", "hang_before", "pipe_before"])
def test_an_order_that_was_never_accepted_is_absent_by_history(world: World, pipe: str) -> None:
    record = outcome(world, {"pipe": pipe})
    assert (record["state"], record["proof"]) == ("absent", "history")


@pytest.mark.parametrize("pipe", ["kill_accepted", "kill_executed", "hang_after", "pipe_after"])
@pytest.mark.parametrize("lags", [{}, LAGS], ids=["at-once", "late"])
def test_an_order_whose_result_was_lost_is_found(world: World, pipe: str, lags: dict[str, float]) -> None:
    record = outcome(world, {"pipe": pipe, "lags_s": lags})
    assert (record["state"], record["proof"], record["filled"]) == ("done", "deals", "0.10")
    assert record["price"]


@pytest.mark.parametrize("seconds", [10, 100])
def test_a_request_that_waited_in_a_suspended_terminal_is_found(world: World, seconds: float) -> None:
    record = outcome(world, {"pipe": "suspend", "suspend_s": seconds})
    assert record["state"] == "done"


@pytest.mark.parametrize("retcode", PASSING + LASTING)
def test_a_refusal_by_the_broker_is_final(world: World, retcode: int) -> None:
    record = outcome(world, {"outcome": "refuse", "retcode": retcode})
    assert (record["state"], record["sent"], record["retcode"]) == ("refused", True, retcode)
    assert record["lasting"] is (retcode in LASTING)


@pytest.mark.parametrize("retcode", [0, 10011, 10012, 10031, 10999])
def test_a_code_that_proves_nothing_is_settled_by_evidence(world: World, retcode: int) -> None:
    assert outcome(world, {"outcome": "unknown_nothing", "retcode": retcode})["state"] == "absent"
    assert outcome(world, {"outcome": "unknown_executed"})["state"] == "done"


def test_a_refusal_with_a_ticket_is_not_believed(world: World) -> None:
    assert outcome(world, {"outcome": "refused_with_ticket"})["state"] == "done"


def test_done_without_a_ticket_is_not_believed_but_found(world: World) -> None:
    assert outcome(world, {"outcome": "done_without_ticket"})["order"] is not None


def test_placed_becomes_done_when_it_fills(world: World) -> None:
    assert outcome(world, {"outcome": "placed_fill", "late_s": 50})["state"] == "done"


def test_placed_becomes_refused_when_it_is_cancelled(world: World) -> None:
    record = outcome(world, {"outcome": "placed_cancel", "late_s": 50})
    assert (record["state"], record["filled"]) == ("refused", "0")


@pytest.mark.parametrize(("symbol", "filled"), [("GBPUSD", "0.05"), ("XAUUSD", "0.05")])
def test_a_partial_fill_says_how_much(world: World, symbol: str, filled: str) -> None:
    record = outcome(world, {"outcome": "partial", "late_s": 50}, symbol)
    assert (record["state"], record["filled"], record["retcode"]) == ("done", filled, 10010)


@pytest.mark.parametrize("outcome_name", ["zero", "late"])
def test_deal_zero_and_price_zero_are_filled_in_from_the_deals(world: World, outcome_name: str) -> None:
    record = outcome(world, {"outcome": outcome_name, "late_s": 60, "split": True, "lags_s": LAGS})
    assert record["state"] == "done"
    assert float(record["price"]) > 1
    assert len(record["deals"]) == 2


@pytest.mark.parametrize("comment", ["comment_cut", "comment_cut_short", "comment_tail", "comment_emptied", "comment_replaced"])
def test_a_rewritten_comment_loses_nothing_beside_the_magic(world: World, comment: str) -> None:
    assert outcome(world, {"pipe": "kill_executed", "comment": comment})["state"] == "done"


@pytest.mark.parametrize("magic", ["magic_32", "magic_zero"])
def test_a_rewritten_magic_loses_nothing_beside_the_comment(world: World, magic: str) -> None:
    assert outcome(world, {"pipe": "kill_executed", "magic": magic, "comment": "comment_tail"})["state"] == "done"


def test_an_order_without_its_carriers_is_held_with_candidates(world: World) -> None:
    record = outcome(world, {"pipe": "kill_executed", **LOST})
    assert (record["state"], record["final"]) == ("held", False)
    (candidate,) = record["candidates"]
    assert (candidate["side"], candidate["volume"], candidate["magic63"]) == ("buy", "0.1", "0")


def test_a_ticket_that_was_told_needs_no_carriers(world: World) -> None:
    assert outcome(world, {"outcome": "late", "late_s": 50, **LOST})["state"] == "done"
    assert outcome(world, {"outcome": "placed_fill", "late_s": 50, **LOST})["state"] == "done"


def test_a_foreign_order_that_looks_alike_holds_what_was_not_found(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.plan({"pipe": "kill_before"}, {"outcome": "refuse", "retcode": 10006, "lookalike_s": 5.0})
    assert world.send(message) is None
    world.send(world.order("OPEN", open_payload()))
    record = world.settled(message)
    assert record["state"] == "held"
    findings = judge(world.events(), [verdict_of(message, record)])
    assert findings.held_without_need == []


def test_a_foreign_order_does_not_matter_where_carriers_are_proven(world: World) -> None:
    carriers = {"login": 5012345, "server": "Broker-Demo", "magic": "intact", "comment": "intact"}
    world.ledger.put_meta("carriers", carriers)
    message = world.order("OPEN", open_payload())
    world.plan({"pipe": "kill_before"}, {"outcome": "refuse", "retcode": 10006, "lookalike_s": 5.0})
    assert world.send(message) is None
    world.send(world.order("OPEN", open_payload()))
    assert world.settled(message)["state"] == "absent"


def test_a_rewritten_magic_takes_the_proof_of_carriers_away(world: World) -> None:
    carriers = {"login": 5012345, "server": "Broker-Demo", "magic": "intact", "comment": "intact"}
    world.ledger.put_meta("carriers", carriers)
    world.plan({"magic": "magic_32"})
    world.send(world.order("OPEN", open_payload()))
    hello = world.ask("HELLO")
    assert hello is not None
    assert hello["data"]["carriers"]["magic"] == "rewritten"


def test_dropped_levels_are_told(world: World) -> None:
    world.plan({"levels_dropped": True})
    reply = world.send(world.order("OPEN", open_payload(sl="1.00000")))
    assert reply is not None
    assert reply["data"]["levels_missing"] is True


def test_frozen_ticks_prove_no_absence(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.plan({"pipe": "kill_before"})
    world.send(message)
    world.broker._frozen_at, world.broker._frozen_until = world.time, world.time + 2000
    world.wait(1000, 10)
    assert world.status(message)["data"]["state"] == "unknown"
    world.wait(1100, 10)
    assert world.settled(message)["state"] == "absent"


def test_another_account_proves_no_absence(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.plan({"pipe": "kill_before"})
    world.send(message)
    world.broker._switched_until = world.time + 1000
    world.wait(900, 10)
    assert world.status(message)["data"]["state"] == "unknown"
    world.wait(200, 10)
    assert world.settled(message)["state"] == "absent"


def test_a_lost_connection_begins_the_wait_anew(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.plan({"pipe": "kill_before"})
    world.send(message)
    world.wait(290, 10)
    world.broker.away_until = world.time + 30
    world.broker.empty_until = world.time + 60
    world.wait(50, 10)
    assert world.status(message)["data"]["state"] == "unknown"
    assert world.settled(message)["state"] == "absent"


def test_a_close_is_found_by_its_own_order(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    world.plan({"pipe": "kill_executed"})
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "volume": "0.04", "magic": 2017}
    message = world.order("CLOSE", {**payload, "max_deviation_points": 20})
    assert world.send(message) is None
    record = world.settled(message)
    assert (record["state"], record["filled"], record["position"]) == ("done", "0.04", payload["ticket"])


@pytest.mark.parametrize("by", ["ticket", "identifier"])
def test_a_position_that_got_another_ticket_at_the_swap_is_closed_by_either_number(world: World, by: str) -> None:
    number = reopened(world)[by]
    payload = {"ticket": number, "symbol": "EURUSD", "volume": "0.10", "magic": 2017, "max_deviation_points": 20}
    reply = world.send(world.order("CLOSE", payload))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["filled"], reply["data"]["position"]) == ("done", "0.10", number)
    assert world.broker.book.true.open == {}


@pytest.mark.parametrize("by", ["ticket", "identifier"])
def test_a_position_that_got_another_ticket_at_the_swap_takes_levels_by_either_number(world: World, by: str) -> None:
    payload = {"ticket": reopened(world)[by], "symbol": "EURUSD", "sl": "1.10000", "tp": None}
    reply = world.send(world.order("MODIFY", payload))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"], reply["data"]["levels_missing"]) == ("done", "levels", False)
    assert reply["data"]["position"] == payload["ticket"]


@pytest.mark.parametrize("action", ["CLOSE", "MODIFY"])
def test_a_position_of_another_symbol_is_not_taken_by_its_identifier(world: World, action: str) -> None:
    payload = {"ticket": reopened(world)["identifier"], "symbol": "GBPUSD"}
    more: dict[str, Any] = {"sl": "1.10000", "tp": None}
    if action == "CLOSE":
        more = {"volume": "0.10", "magic": 2017, "max_deviation_points": 20}
    reply = world.send(world.order(action, {**payload, **more}))
    assert reply is not None
    assert (reply["data"]["proof"], reply["data"]["sent"]) == ("position_gone", False)


@pytest.mark.parametrize("by", ["ticket", "identifier"])
def test_levels_whose_position_gets_another_ticket_before_the_answer_are_still_found(world: World, by: str) -> None:
    number = reopened(world)[by]
    world.plan({"pipe": "pipe_after", "reopen": True})
    message = world.order("MODIFY", {"ticket": number, "symbol": "EURUSD", "sl": "1.10000", "tp": None})
    world.send(message)
    record = world.settled(message)
    assert (record["state"], record["proof"], record["position"]) == ("done", "levels", number)


def test_an_order_whose_position_alone_is_listed_names_the_position_by_its_identifier(world: World) -> None:
    lags = {"orders": 9999.0, "history_orders": 9999.0, "history_deals": 9999.0}
    world.plan({"pipe": "kill_executed", "lags_s": lags, "reopen": True})
    message = world.order("OPEN", open_payload())
    assert world.send(message) is None
    record = world.settled(message)
    assert (record["state"], record["proof"], record["position"]) == ("done", "position", record["order"])


def test_levels_that_were_dropped_from_a_position_with_another_ticket_are_told(world: World) -> None:
    world.plan({"pipe": "kill_executed", "levels_dropped": True, "reopen": True})
    message = world.order("OPEN", open_payload(sl="1.10000"))
    assert world.send(message) is None
    record = world.settled(message)
    assert (record["state"], record["proof"], record["levels_missing"]) == ("done", "deals", True)


def test_flatten_closes_positions_that_got_another_ticket_and_names_them_by_their_identifiers(world: World) -> None:
    identifier = reopened(world)["identifier"]
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert [(item["ticket"], item["state"]) for item in reply["data"]["items"]] == [(identifier, "done")]
    assert world.broker.book.true.open == {}


def test_flatten_closes_a_position_that_gets_another_ticket_meanwhile(world: World) -> None:
    reopened(world)
    reopened(world)
    world.plan({"reopen": True})
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert [item["state"] for item in reply["data"]["items"]] == ["done", "done"]
    assert world.broker.book.true.open == {}


def test_the_ticket_that_a_netting_position_had_before_it_was_turned_closes_nothing() -> None:
    """The position is another one since then, on the other side."""
    world = World(margin_mode="netting")
    world.wait(120)
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    identifier = opened["data"]["position"]
    world.broker.book.tickets[identifier] = 9999
    payload = {"ticket": identifier, "symbol": "EURUSD", "volume": "0.10", "magic": 2017, "max_deviation_points": 20}
    reply = world.send(world.order("CLOSE", payload))
    assert reply is not None
    assert (reply["data"]["proof"], reply["data"]["sent"]) == ("position_gone", False)
    world.close()


def test_the_brokers_own_stop_is_no_order_of_ours(world: World) -> None:
    world.plan({"pipe": "kill_executed"}, {"outcome": "refuse", "retcode": 10006, "broker_stop": True})
    message = world.order("OPEN", open_payload())
    assert world.send(message) is None
    world.send(world.order("OPEN", open_payload(side="sell")))
    assert world.settled(message)["state"] == "done"


def test_levels_are_settled_by_the_position(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "sl": "1.10000", "tp": None}
    reply = world.send(world.order("MODIFY", payload))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"]) == ("done", "levels")
    world.plan({"pipe": "pipe_after"})
    after = world.order("MODIFY", {**payload, "sl": "1.11000"})
    world.send(after)
    assert world.settled(after)["state"] == "done"
    world.plan({"pipe": "pipe_before"})
    before = world.order("MODIFY", {**payload, "sl": "1.12000"})
    world.send(before)
    assert world.settled(before)["state"] == "absent"


def test_a_netting_account_finds_its_orders_too() -> None:
    world = World(margin_mode="netting")
    world.wait(120)
    assert outcome(world, {"pipe": "kill_executed"})["state"] == "done"
    assert outcome(world, {"pipe": "kill_before"})["state"] == "absent"
    world.close()


def test_a_list_that_ends_before_the_newest_known_order_proves_no_absence(world: World) -> None:
    world.send(world.order("OPEN", open_payload(side="sell")))
    world.plan({"pipe": "kill_executed", "partial_s": 800.0})
    message = world.order("OPEN", open_payload())
    assert world.send(message) is None
    world.wait(700, 10)
    assert world.status(message)["data"]["state"] == "unknown"
    assert world.settled(message)["state"] == "done"


def test_a_clock_set_forward_proves_no_absence(world: World) -> None:
    lags = {"orders": 9999.0}
    world.plan({"pipe": "kill_accepted", "outcome": "late", "late_s": 100.0, "lags_s": lags})
    message = world.order("OPEN", open_payload())
    assert world.send(message) is None
    world.wait(10)
    world.clock_ahead_s = 3600.0
    world.wait(60)
    assert world.status(message)["data"]["state"] == "unknown"
    assert world.settled(message)["state"] == "done"


def test_a_netting_position_that_another_order_turned_says_nothing_about_the_order_that_opened_it() -> None:
    world = World(margin_mode="netting")
    world.wait(120)
    world.plan({"pipe": "kill_executed", **LOST})
    message = world.order("OPEN", open_payload(side="sell"))
    assert world.send(message) is None
    world.send(world.order("OPEN", open_payload(volume="0.25")))
    assert world.settled(message)["state"] == "held"
    world.close()


def test_a_close_that_was_told_as_done_and_found_its_position_gone_is_refused(world: World) -> None:
    opening = world.order("OPEN", open_payload())
    opened = world.send(opening)
    assert opened is not None
    world.plan({"outcome": "late", "late_s": 30.0})
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "volume": "0.10", "magic": 2017}
    message = world.order("CLOSE", {**payload, "max_deviation_points": 20})
    reply = world.send(message)
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["retcode"], reply["data"]["final"]) == ("placed", 10009, False)
    world.broker._stop_a_position()
    world.wait(60)
    record = world.status(message)["data"]
    assert (record["state"], record["filled"]) == ("refused", "0")
    verdicts = [verdict_of(opening, opened["data"]), verdict_of({**message, "side": "sell"}, record)]
    assert judge(world.events(), verdicts).clean


def test_a_deal_that_was_told_is_done_although_no_list_shows_it_yet(world: World) -> None:
    world.plan({"lags_s": LAGS})
    reply = world.send(world.order("OPEN", open_payload()))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"]) == ("done", "order")
