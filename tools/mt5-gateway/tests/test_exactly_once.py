"""One id, one order, whatever dies in between."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel_gateway.flatten import POSITIONS_MAX
from sentinel_gateway.killpoints import POINTS
from sentinel_gateway.ledger import Ledger, LedgerBusy
from sentinel_gateway.protocol import Request, Stamp, answer
from sentinel_gateway.record import new_record
from simulated import World, open_payload


def accepted(world: World) -> list[dict[str, Any]]:
    return [data for _, kind, data in world.events() if kind == "accepted" and data["number"]]


def test_the_same_message_again_is_answered_from_the_ledger(world: World) -> None:
    message = world.order("OPEN", open_payload())
    first, second = world.send(message), world.send(message)
    assert first is not None
    assert second is not None
    assert second["data"] == first["data"] | {"replayed": True}
    assert len(accepted(world)) == 1


def test_one_id_for_two_requests_is_a_conflict_with_the_record(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.send(message)
    reply = world.send({**message, "payload": open_payload(volume="0.20")})
    assert reply is not None
    assert reply["error"]["code"] == "id_conflict"
    assert reply["data"]["state"] == "done"
    assert len(accepted(world)) == 1


def test_another_id_with_the_same_tag_is_refused(world: World) -> None:
    first = world.order("OPEN", open_payload())
    world.send(first)
    other = first["id"][:8] + world.new_id()[8:]
    reply = world.send(world.order("OPEN", open_payload(), id=other))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"]) == ("refused", "tag_collision")
    assert len(accepted(world)) == 1


# What the ledger makes of a death at each place, before anybody looks at the terminal.
PLACES = [place for place in POINTS if place != "barred"]
LEFT = ("guarded", "sent", "result", "completed", "replying", "replied")


@pytest.mark.parametrize("place", PLACES)
def test_a_death_at_every_place_is_settled_by_evidence(world: World, place: str) -> None:
    message = world.order("OPEN", open_payload())
    world.kill.place = place
    if place == "replied":
        # After the reply nothing is left to lose.
        assert world.send(message) is not None
        world.restart()
    else:
        assert world.send(message) is None
    record = world.settled({**message, "payload": message["payload"]})
    truly = accepted(world)
    assert len(truly) == (1 if place in LEFT[1:] else 0)
    if place in LEFT[1:]:
        assert (record["state"], record["order"]) == ("done", truly[0]["ticket"])
    elif place in ("received", "checked"):
        assert (record["state"], record["proof"]) == ("absent", "barred")
    else:
        assert (record["state"], record["proof"]) == ("absent", "history")


@pytest.mark.parametrize("place", PLACES[:-1])
def test_after_a_death_at_any_place_the_same_message_sends_nothing_twice(world: World, place: str) -> None:
    message = world.order("OPEN", open_payload())
    world.kill.place = place
    world.send(message)
    for _ in range(3):
        world.send({**message, "seen": 0})
    assert len(accepted(world)) <= 1
    world.settled(message)
    world.send({**message, "seen": 0})
    assert len(accepted(world)) <= 1


def test_a_message_that_comes_after_the_question_is_barred(world: World) -> None:
    message = world.order("OPEN", open_payload())
    status = world.status(message)["data"]
    assert (status["state"], status["final"], status["proof"]) == ("absent", True, "barred")
    late = world.send(message)
    assert late is not None
    assert (late["data"]["state"], late["data"]["sent"], late["data"]["proof"]) == ("refused", False, "barred")
    assert accepted(world) == []
    assert world.status(message)["data"]["state"] == "absent"


def test_a_bar_of_another_store_proves_nothing_and_history_does(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.send(message)
    world.restart(keep_ledger=False)
    doubt = world.status(message)["data"]
    assert doubt["state"] != "absent"
    record = world.settled(message)
    assert (record["state"], record["order"]) == ("done", accepted(world)[0]["ticket"])


def test_an_order_that_never_left_is_absent_by_history_in_a_new_store(world: World) -> None:
    message = world.order("OPEN", open_payload())
    world.restart(keep_ledger=False)
    assert world.status(message)["data"]["state"] == "unknown"
    record = world.settled(message)
    assert (record["state"], record["proof"]) == ("absent", "history")
    late = world.send({**message, "ledger": world.ledger.name, "seen": 0})
    assert late is not None
    assert late["data"]["proof"] == "barred"


def test_a_store_that_was_rolled_back_is_noticed_and_renamed(world: World) -> None:
    first = world.order("OPEN", open_payload())
    world.send(first)
    name = world.ledger.name
    reply = world.send(world.order("OPEN", open_payload(), seen=99))
    assert reply is not None
    assert reply["error"]["code"] == "ledger_rolled_back"
    assert world.ledger.name != name
    # What the lost part of the store may have held is no longer proven by a bar.
    lost = world.order("OPEN", open_payload(), ledger=name)
    assert world.status(lost)["data"]["state"] == "unknown"


def test_a_question_reveals_a_rolled_back_store_too(world: World) -> None:
    message = world.order("OPEN", open_payload())
    status = world.status({**message, "seen": 99})
    assert status["data"]["state"] == "unknown"
    assert status["ledger"] != message["ledger"]


def test_a_store_that_was_restored_never_repeats_the_number_of_a_start(world: World) -> None:
    copy = world.copy_of_store()
    world.restart()
    lost = world.ledger.boot
    world.time += 1
    world.restore(copy)
    assert world.ledger.boot > lost
    reply = world.ask("HELLO")
    assert reply is not None
    assert reply["boot"] == world.ledger.boot


def test_starts_are_told_apart_within_one_millisecond_and_after_a_clock_was_set_back(world: World) -> None:
    boots = [world.ledger.boot]
    for back_s in (0, 0, 3600):
        world.clock_ahead_s -= back_s
        world.restart()
        boots.append(world.ledger.boot)
    assert boots == sorted(set(boots))


def test_an_order_for_another_ledger_does_nothing(world: World) -> None:
    reply = world.send(world.order("OPEN", open_payload(), ledger="another"))
    assert reply is not None
    assert reply["error"]["code"] == "other_ledger"
    assert accepted(world) == []


def test_two_gateways_cannot_own_one_ledger(world: World) -> None:
    with pytest.raises(LedgerBusy):
        Ledger(world.path)


def test_a_late_find_turns_absent_into_done_and_counts(world: World) -> None:
    world.plan({"pipe": "kill_accepted", "outcome": "late", "late_s": 1000, "lags_s": {"orders": 9999}})
    message = world.order("OPEN", open_payload())
    assert world.send(message) is None
    assert world.settled(message, seconds=600)["state"] == "absent"
    world.wait(1000, 20)
    record = world.status(message)["data"]
    assert (record["state"], record["after_absent"]) == ("done", True)
    hello = world.ask("HELLO")
    assert hello is not None
    assert hello["data"]["contradictions"] == 1


def test_flatten_closes_what_is_ours_and_tells_each_position(world: World) -> None:
    opened = [world.send(world.order("OPEN", open_payload(magic=magic))) for magic in (2017, 2017, 2018)]
    tickets = [reply["data"]["position"] for reply in opened if reply]
    message = world.order("FLATTEN", {"magics": [2017], "symbols": None})
    reply = world.send(message)
    assert reply is not None
    assert [(item["ticket"], item["state"]) for item in reply["data"]["items"]] == [(t, "done") for t in tickets[:2]]
    assert (reply["data"]["state"], reply["data"]["final"], reply["data"]["orders_left"]) == ("done", True, 0)
    again = world.send(message)
    assert again is not None
    assert again["data"] == reply["data"] | {"replayed": True}
    left = world.ask("POSITIONS")
    assert left is not None
    assert [position["ticket"] for position in left["data"]["positions"]] == tickets[2:]


def test_flatten_that_died_half_way_tries_nothing_again(world: World) -> None:
    for _ in range(2):
        world.send(world.order("OPEN", open_payload()))
    world.plan({"pipe": "kill_executed"})
    message = world.order("FLATTEN", {"magics": None, "symbols": None})
    assert world.send(message) is None
    again = world.send({**message, "seen": 0})
    assert again is not None
    assert [item["state"] for item in again["data"]["items"]] == ["unknown", "not_tried"]
    world.wait(60)
    again = world.send({**message, "seen": 0})
    assert again is not None
    assert [item["state"] for item in again["data"]["items"]] == ["done", "not_tried"]


def test_a_flatten_that_came_too_late_says_so(world: World) -> None:
    world.send(world.order("OPEN", open_payload()))
    message = world.order("FLATTEN", {"magics": None, "symbols": None})
    world.time += 6
    reply = world.send(message)
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["proof"], reply["data"]["items"]) == ("refused", "expired", [])
    assert len(accepted(world)) == 1


def test_a_flatten_of_another_store_is_held_and_not_called_done(world: World) -> None:
    message = world.order("FLATTEN", {"magics": None, "symbols": None}, ledger="another")
    status = world.status(message)["data"]
    assert (status["state"], status["final"]) == ("held", False)
    world.wait(400, 10)
    assert world.status(message)["data"]["state"] == "held"
    late = world.send({**message, "ledger": world.ledger.name})
    assert late is not None
    assert late["data"]["proof"] == "barred"


def test_levels_that_a_question_does_not_name_are_held(world: World) -> None:
    opened = world.send(world.order("OPEN", open_payload()))
    assert opened is not None
    payload = {"ticket": opened["data"]["position"], "symbol": "EURUSD", "sl": "1.10000", "tp": None}
    message = world.order("MODIFY", payload, ledger="another")
    assert world.status(message)["data"]["state"] == "held"


def fill_disk(world: World) -> Callable[[], None]:
    """From now on the ledger's file cannot grow; what is returned makes room again."""
    db = world.ledger._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
    return lambda: db.execute("PRAGMA max_page_count=1000000").close()


def test_an_order_that_cannot_be_written_down_is_not_sent(world: World) -> None:
    make_room = fill_disk(world)
    reply: dict[str, Any] | None = {"ok": True}
    while reply is not None and reply["ok"]:
        message, before = world.order("OPEN", open_payload()), len(accepted(world))
        reply = world.send(message)
    assert reply is not None
    assert reply["error"]["code"] == "not_ready"
    assert "full" in reply["error"]["text"]
    assert len(accepted(world)) == before
    status = world.status(message)
    assert (status["ok"], status["error"]["code"]) == (False, "not_ready")
    make_room()
    reply = world.send({**message, "seen": 0})
    assert reply is not None
    assert reply["data"]["state"] == "done"
    assert len(accepted(world)) == before + 1


def test_a_flatten_that_cannot_be_written_down_closes_nothing(world: World) -> None:
    world.send(world.order("OPEN", open_payload()))
    message = world.order("FLATTEN", {"magics": None, "symbols": None})
    world.ledger._db.execute("PRAGMA query_only=ON")
    reply = world.send(message)
    assert reply is not None
    assert reply["error"]["code"] == "not_ready"
    assert len(accepted(world)) == 1


def test_a_result_that_cannot_be_written_down_is_found_by_the_next_process(world: World) -> None:
    def protect(name: str) -> None:
        if name == "sent":
            world.ledger._db.execute("PRAGMA query_only=ON")

    world.gateway._effects._kill = protect  # type: ignore[assignment]
    message = world.order("OPEN", open_payload())
    # It must not be told that nothing happened: the process ends without a reply.
    with pytest.raises(sqlite3.OperationalError):
        world.send(message)
    world.restart()
    assert world.status(message)["data"]["state"] in ("unknown", "done")
    assert world.settled(message)["order"] == accepted(world)[0]["ticket"]


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "gateway.db")
    assert ledger._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    ledger.close()


def test_a_flatten_does_not_believe_an_empty_list_of_a_terminal_that_was_just_connected() -> None:
    world = World()
    world.wait(4)
    world.send(world.order("OPEN", open_payload()))
    world.broker.away_until, world.broker.empty_until = world.time + 10, world.time + 20
    world.wait(12)
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert reply["error"]["code"] == "not_synced"
    world.wait(60)
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert [item["state"] for item in reply["data"]["items"]] == ["done"]
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert (reply["data"]["state"], reply["data"]["items"]) == ("done", [])
    world.close()


def test_a_flatten_whose_reply_would_be_too_long_closes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        world.send(world.order("OPEN", open_payload()))
    monkeypatch.setattr("sentinel_gateway.flatten.POSITIONS_MAX", 2)
    reply = world.send(world.order("FLATTEN", {"magics": None, "symbols": None}))
    assert reply is not None
    assert reply["error"]["code"] == "too_large"
    assert len(accepted(world)) == 3


def test_the_longest_reply_to_a_flatten_fits() -> None:
    item = {"ticket": (1 << 63) - 1, "id": "a" * 32, "state": "not_tried"}
    record = new_record("unknown", {"symbols": ["x" * 64] * 64}, None, None)
    told = record | {"items": [item] * POSITIONS_MAX, "orders_left": 1000}
    request = Request("a" * 32, "FLATTEN", {})
    assert json.loads(answer(Stamp(1, "ledger", 1, 1), request, told))["ok"] is True
