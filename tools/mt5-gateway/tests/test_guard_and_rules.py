"""What is refused before anything leaves."""

from typing import Any

import pytest

from sentinel_gateway.facts import TerminalFacts
from sentinel_gateway.guard import Expected
from simulated import World, open_payload


def sent(world: World) -> int:
    return sum(1 for _, kind, _ in world.events() if kind == "sent")


def refused(world: World, action: str, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The reply to an order of which nothing left."""
    before = sent(world)
    reply = world.send(world.order(action, payload, **more))
    assert reply is not None
    assert sent(world) == before
    return reply


@pytest.mark.parametrize(
    ("name", "value"),
    [("login", 5012399), ("server", "Broker-Real"), ("trade_mode", "real"), ("margin_mode", "netting")],
)
def test_an_order_for_another_account_does_nothing(world: World, name: str, value: Any) -> None:
    reply = refused(world, "OPEN", open_payload(), guard={**world.guard, name: value})
    assert (reply["error"]["code"], reply["error"]["lasting"]) == ("account_mismatch", True)
    assert world.ledger.seq == 0


def test_a_switched_account_is_noticed_before_sending(world: World) -> None:
    world.broker._switched_until = world.time + 60
    assert refused(world, "OPEN", open_payload())["error"]["code"] == "account_mismatch"


def test_an_account_that_is_switched_after_the_commit_stops_the_order(world: World) -> None:
    def switch(name: str) -> None:
        if name == "sending":
            world.broker._switched_until = world.time + 60

    world.gateway._effects._kill = switch  # type: ignore[assignment]
    reply = refused(world, "OPEN", open_payload())
    assert (reply["data"]["state"], reply["data"]["sent"]) == ("refused", False)
    assert reply["data"]["proof"] == "account_mismatch"


def test_a_real_account_needs_the_gateways_own_consent(world: World) -> None:
    world.broker.trade_mode = 2
    guard = {**world.guard, "trade_mode": "real"}
    assert refused(world, "OPEN", open_payload(), guard=guard)["error"]["code"] == "account_mismatch"
    world.expected = Expected(allow_real=True)
    world.restart()
    reply = world.send(world.order("OPEN", open_payload(), guard=guard))
    assert reply is not None
    assert reply["data"]["state"] == "done"


def test_an_account_that_is_not_the_configured_one_is_refused(world: World) -> None:
    world.expected = Expected(login=7)
    world.restart()
    assert refused(world, "OPEN", open_payload())["error"]["code"] == "account_mismatch"


READS: list[tuple[str, dict[str, Any]]] = [
    ("HELLO", {"symbols": ["EURUSD"]}),
    ("POSITIONS", {"symbol": None}),
    ("ACCOUNT", {}),
    ("DEALS", {"since": 0}),
    ("TICK", {"symbol": "EURUSD"}),
]


@pytest.mark.parametrize("expected", [Expected(login=7), Expected(server="Broker-Live")])
@pytest.mark.parametrize(("action", "payload"), READS)
@pytest.mark.parametrize("guarded", [True, False])
def test_no_question_is_answered_from_an_account_that_is_not_the_configured_one(
    world: World, expected: Expected, action: str, payload: dict[str, Any], guarded: bool
) -> None:
    """A client takes the account of its first HELLO for its own, and an empty list of another account for its own."""
    world.expected = expected
    world.restart()
    reply = world.ask(action, payload, **({"guard": world.guard} if guarded else {}))
    assert reply is not None
    assert (reply["ok"], reply["error"]["code"]) == (False, "account_mismatch")
    assert str(expected.login or expected.server) in reply["error"]["text"]


def test_the_first_question_waits_until_a_switched_account_is_switched_back(world: World) -> None:
    world.expected = Expected(login=5012345, server="Broker-Demo")
    world.restart()
    world.broker._switched_until = world.time + 60
    switched = world.ask("HELLO")
    assert switched is not None
    assert switched["error"]["code"] == "account_mismatch"
    world.wait(70)
    back = world.ask("HELLO")
    assert back is not None
    assert back["data"]["account"]["login"] == 5012345


def test_the_first_question_names_no_account_that_it_was_switched_to_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.expected = Expected(login=5012345)
    world.restart()
    looked = world.gateway.terminal.terminal_info

    def switch() -> TerminalFacts:
        world.broker._switched_until = world.time + 60
        return looked()

    monkeypatch.setattr(world.gateway.terminal, "terminal_info", switch)
    reply = world.ask("HELLO", {"symbols": []})
    assert reply is not None
    assert (reply["ok"], reply["error"]["code"]) == (False, "account_mismatch")


def test_whether_the_gateway_lives_is_told_on_any_account(world: World) -> None:
    world.expected = Expected(login=7)
    world.restart()
    reply = world.ask("HEARTBEAT")
    assert reply is not None
    assert reply["ok"]


def test_a_real_account_may_be_looked_at_without_the_consent_to_trade(world: World) -> None:
    world.broker.trade_mode = 2
    world.expected = Expected(login=5012345)
    world.restart()
    reply = world.ask("HELLO", {"symbols": []}, guard={**world.guard, "trade_mode": "real"})
    assert reply is not None
    assert reply["data"]["account"]["trade_mode"] == "real"


def test_a_lost_connection_refuses_orders(world: World) -> None:
    world.broker.away_until = world.time + 60
    assert refused(world, "OPEN", open_payload())["error"]["code"] == "not_ready"


@pytest.mark.parametrize(("name", "value", "code"), [("trade_allowed", False, 10027), ("api_disabled", True, -8)])
def test_a_missing_permission_is_told_by_its_code(world: World, name: str, value: bool, code: int) -> None:
    setattr(world.broker, name, value)
    record = refused(world, "OPEN", open_payload())["data"]
    assert (record["state"], record["sent"], record["retcode"], record["lasting"]) == ("refused", False, code, True)


def test_an_expired_order_is_refused_and_stays_so(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.time += 5.412
    reply = world.send(message)
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"], reply["data"]["sent"]) == ("refused", "expired", False)
    assert "ms late" in reply["data"]["text"]
    assert sent(world) == 0
    assert world.status(message)["data"]["state"] == "refused"


def test_an_order_that_expires_during_the_commit_is_not_sent(world: World) -> None:
    def slow(name: str) -> None:
        if name == "sending":
            world.time += 6

    world.gateway._effects._kill = slow  # type: ignore[assignment]
    record = refused(world, "OPEN", open_payload())["data"]
    assert (record["proof"], record["sent"], record["final"]) == ("expired", False, True)


def test_an_expiry_too_far_ahead_is_refused(world: World) -> None:
    reply = refused(world, "OPEN", open_payload(), expires_at=world.clock.now() + 60_001)
    assert reply["error"]["code"] == "bad_expiry"
    assert world.ledger.seq == 0


@pytest.mark.parametrize(
    "payload",
    [
        open_payload(volume="0.001"),
        open_payload(volume="0.015"),
        open_payload(volume="100.01"),
        open_payload(symbol="NONE"),
        open_payload(symbol="NOFILL"),
        open_payload(sl="1.000001"),
        # Both a level off the grid and one on the wrong side: no price makes it fit.
        open_payload(sl="2.000001"),
        open_payload(sl="2.00000", tp="1.000001"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_rounded(world: World, payload: dict[str, Any]) -> None:
    record = refused(world, "OPEN", payload)["data"]
    assert (record["state"], record["proof"], record["lasting"]) == ("refused", "rules", True)


@pytest.mark.parametrize(
    "payload",
    [
        open_payload(sl="2.00000"),
        open_payload(tp="1.00000"),
        open_payload(side="sell", sl="1.00000"),
        open_payload(side="sell", tp="2.00000"),
        open_payload(symbol="USDJPY"),
    ],
)
def test_a_level_that_the_price_came_too_near_to_is_refused_for_now(world: World, payload: dict[str, Any]) -> None:
    if payload["symbol"] == "USDJPY":
        tick = world.broker.tick("USDJPY")
        payload = {**payload, "sl": f"{tick['bid'] - 0.009:.3f}"}
    record = refused(world, "OPEN", payload)["data"]
    assert (record["state"], record["proof"], record["sent"], record["lasting"]) == ("refused", "rules", False, False)


def test_new_levels_that_are_too_near_are_refused_for_now(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "sl": "2.00000", "tp": None}
    record = refused(world, "MODIFY", payload)["data"]
    assert (record["proof"], record["lasting"]) == ("rules", False)
    record = refused(world, "MODIFY", {**payload, "sl": "1.000001"})["data"]
    assert (record["proof"], record["lasting"]) == ("rules", True)


def test_a_close_of_what_is_gone_or_too_large_is_refused(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "magic": 2017, "max_deviation_points": 20}
    assert refused(world, "CLOSE", {**payload, "volume": "0.11"})["data"]["proof"] == "rules"
    gone = [
        refused(world, "CLOSE", {**payload, "volume": "0.10", "ticket": 1}),
        refused(world, "MODIFY", {"ticket": 1, "symbol": "EURUSD", "sl": "1.10000", "tp": None}),
    ]
    # The list may show it again: it was just connected, or the position is being opened again at the swap.
    assert [(reply["data"]["proof"], reply["data"]["lasting"]) for reply in gone] == [("position_gone", False)] * 2


def test_the_price_is_the_ticks_own_side_and_deviation_for_instant_only(world: World) -> None:
    for symbol, has_deviation in (("EURUSD", False), ("USDJPY", True)):
        for side, quoted in (("buy", "ask"), ("sell", "bid")):
            world.send(world.order("OPEN", open_payload(symbol=symbol, side=side)))
            request = [data for _, kind, data in world.events() if kind == "sent"][-1]["request"]
            near = world.broker.tick(symbol)
            assert ("deviation" in request) is has_deviation
            assert abs(request["price"] - near[quoted]) < 0.01 * near[quoted]
