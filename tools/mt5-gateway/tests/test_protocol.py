"""The table of protocol `sentinel/1`."""

import json
from typing import Any

import pytest

from sentinel_gateway.protocol import REQUEST_BYTES_MAX, Refusal, decode, parse
from simulated import GUARD, World, open_payload

ID = "r3ar6lghirjahvx7cs42nk32vcbg7hif"


def message(**more: Any) -> dict[str, Any]:
    said = {
        "v": "sentinel/1",
        "id": ID,
        "action": "OPEN",
        "expires_at": 1,
        "ledger": "l",
        "seen": 0,
        "guard": GUARD,
        "payload": open_payload(),
    }
    return {name: value for name, value in (said | more).items() if value is not ...}


def test_the_specifications_example_is_understood() -> None:
    request = parse(message())
    assert (request.action, request.id, request.is_effect) == ("OPEN", ID, True)
    assert request.guard is not None
    assert request.guard.login == 5012345


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "bad_request"),
        (b"[]", "bad_request"),
        (b'{"v":"sentinel/1","v":"sentinel/1"}', "bad_request"),
        (b'{"v":NaN}', "bad_request"),
        (b"[" * 10_000, "bad_request"),
        (b"\xff", "bad_request"),
        (b" " * (REQUEST_BYTES_MAX + 1), "too_large"),
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode(raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"v": "sentinel/2"}, "bad_version"),
        ({"v": ...}, "bad_version"),
        ({"action": "SELL"}, "unknown_action"),
        ({"action": "BARS", "payload": {}}, "unknown_action"),
        ({"more": 1}, "bad_request"),
        ({"id": "short"}, "bad_request"),
        ({"id": ID.upper()}, "bad_request"),
        ({"id": ID[:-1] + "1"}, "bad_request"),
        ({"expires_at": ...}, "bad_request"),
        ({"expires_at": 1.5}, "bad_request"),
        ({"guard": ...}, "bad_request"),
        ({"guard": {**GUARD, "trade_mode": "toy"}}, "bad_request"),
        ({"guard": {**GUARD, "more": 1}}, "bad_request"),
        ({"ledger": ...}, "bad_request"),
        ({"seen": ...}, "bad_request"),
        ({"seen": True}, "bad_request"),
        ({"payload": ...}, "bad_request"),
        ({"payload": open_payload(more=1)}, "bad_request"),
        ({"payload": open_payload(side="BUY")}, "bad_request"),
        ({"payload": open_payload(volume=0.1)}, "bad_request"),
        ({"payload": open_payload(volume="0")}, "bad_request"),
        ({"payload": open_payload(volume="-0.1")}, "bad_request"),
        ({"payload": open_payload(volume="1e1")}, "bad_request"),
        ({"payload": open_payload(volume="\u0661")}, "bad_request"),
        ({"payload": open_payload(symbol="\ud800")}, "bad_request"),
        ({"guard": {**GUARD, "server": "\udfff"}}, "bad_request"),
        ({"payload": open_payload(sl=1.1)}, "bad_request"),
        ({"payload": open_payload(sl="0")}, "bad_request"),
        ({"payload": open_payload(magic=1 << 31)}, "bad_request"),
        ({"payload": open_payload(magic=-1)}, "bad_request"),
        ({"payload": open_payload(max_deviation_points="20")}, "bad_request"),
    ],
)
def test_a_request_that_breaks_one_rule_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(message(**change))
    assert refused.value.code == code


def test_every_message_gets_a_reply_and_none_does_more(world: World) -> None:
    for raw in (b"", b"null", b"{}", b'{"id":7,"action":[]}', b"\x00" * 20_000, json.dumps(message(more=1)).encode()):
        reply = json.loads(world.gateway.handle(raw))
        assert reply["ok"] is False
        assert reply["error"]["text"]
    assert world.ledger.seq == 0


def test_every_reply_says_which_ledger_and_boot_it_comes_from(world: World) -> None:
    reply = world.ask("HEARTBEAT")
    assert reply is not None
    assert set(reply) == {"v", "id", "action", "ok", "now", "ledger", "boot", "seq", "data"}
    assert reply["data"] == {
        "terminal": "ready",
        "connected": True,
        "unsettled": 0,
        "contradictions": 0,
        "tick_age_ms": reply["data"]["tick_age_ms"],
    }


def test_hello_says_account_clock_carriers_and_symbols(world: World) -> None:
    reply = world.ask("HELLO", {"symbols": ["EURUSD", "NONE"]})
    assert reply is not None
    data = reply["data"]
    assert data["account"]["margin_mode"] == "hedging"
    assert data["clock"]["offset_s"] == 7200
    assert data["clock"]["source"] == "measured"
    assert data["carriers"] == {"magic": "unproven", "comment": "unproven"}
    assert list(data["symbols"]) == ["EURUSD"]
    assert data["symbols"]["EURUSD"]["volume_step"] == "0.01"
    assert data["symbols"]["EURUSD"]["filling"] == ["fok", "ioc"]


def test_an_order_goes_out_once_and_its_record_says_everything(world: World) -> None:
    reply = world.send(world.order("OPEN", open_payload(sl="1.00000"), id=ID))
    assert reply is not None
    record = reply["data"]
    assert record["state"] == "done"
    assert record["final"] is True
    assert (record["filled"], record["volume"], record["proof"]) == ("0.10", "0.10", "deals")
    assert (record["tag"], record["magic"], record["comment"]) == (2395021100, 2017, "sn:r3ar6lghirjahvx7cs42")
    assert record["levels_missing"] is False
    assert record["position"] == record["order"]
    assert len([kind for _, kind, _ in world.events() if kind == "accepted"]) == 1


def test_positions_account_deals_and_tick_answer_in_strings(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    positions = world.ask("POSITIONS", {"symbol": None})
    assert positions is not None
    (position,) = positions["data"]["positions"]
    assert (position["volume"], position["magic"], position["id"]) == ("0.10", 2017, opened["id"])
    assert position["open_price"] == opened["data"]["price"]
    account = world.ask("ACCOUNT")
    assert account is not None
    assert account["data"]["balance"] == "10000.00"
    tick = world.ask("TICK", {"symbol": "EURUSD"})
    assert tick is not None
    assert tick["data"]["moving"] is True
    assert 0 <= tick["data"]["age_ms"] < 1000


def test_deals_come_in_pages_that_follow_each_other(world: World) -> None:
    for _ in range(3):
        world.send(world.order("OPEN", open_payload()))
    seen: list[int] = []
    after = None
    while True:
        page = world.ask("DEALS", {"since": 0, "after": after, "limit": 2})
        assert page is not None
        seen += [deal["deal"] for deal in page["data"]["deals"]]
        after = page["data"]["next"]
        if after is None:
            break
    assert len(seen) == 4
    assert seen == sorted(set(seen))


def test_reads_say_not_synced_right_after_a_start() -> None:
    world = World()
    for action in ("POSITIONS", "ACCOUNT"):
        reply = world.ask(action)
        assert reply is not None
        assert reply["error"]["code"] == "not_synced"
    world.close()


def test_reads_say_not_synced_while_lists_are_empty_after_a_reconnect(world: World) -> None:
    world.send(world.order("OPEN", open_payload()))
    world.broker.away_until = world.time + 10
    world.broker.empty_until = world.time + 80
    world.wait(60)
    reply = world.ask("POSITIONS")
    assert reply is not None
    assert reply["error"]["code"] == "not_synced"
    world.wait(60)
    reply = world.ask("POSITIONS")
    assert reply is not None
    assert len(reply["data"]["positions"]) == 1


def test_positions_say_not_synced_until_a_new_position_is_listed(world: World) -> None:
    world.plan({"lags_s": {"positions": 30.0}})
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    assert opened["data"]["state"] == "done"
    reply = world.ask("POSITIONS")
    assert reply is not None
    assert reply["error"]["code"] == "not_synced"
    world.wait(31)
    reply = world.ask("POSITIONS")
    assert reply is not None
    assert len(reply["data"]["positions"]) == 1


def test_positions_answer_after_a_new_position_was_closed_again(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "volume": "0.10", "magic": 2017}
    world.send(world.order("CLOSE", {**payload, "max_deviation_points": 20}))
    reply = world.ask("POSITIONS")
    assert reply is not None
    assert reply["data"]["positions"] == []
