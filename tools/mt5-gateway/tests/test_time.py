"""The server's clock, daylight saving, and a `now` that never goes back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sentinel_gateway.clock import Clock, DstRule, OffsetMeter, ServerTime, Witnessed, summer
from sentinel_gateway.ledger import Ledger
from sentinel_gateway.log import Log
from sentinel_gateway.serve import steady_clock
from simulated import World, open_payload


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("dst", "year", "begin", "end"),
    [
        ("us", 2026, "2026-03-08T07:00", "2026-11-01T06:00"),
        ("us", 2027, "2027-03-14T07:00", "2027-11-07T06:00"),
        ("eu", 2026, "2026-03-29T01:00", "2026-10-25T01:00"),
        ("eu", 2027, "2027-03-28T01:00", "2027-10-31T01:00"),
    ],
)
def test_summer_time_begins_and_ends_on_its_sundays(dst: str, year: int, begin: str, end: str) -> None:
    assert summer(dst, year) == (at(begin), at(end))


def test_a_rule_tells_the_offset_of_every_hour_and_back() -> None:
    rule = DstRule(7200, "us")
    for text, offset in (("2026-01-15T12:00", 7200), ("2026-07-15T12:00", 10800)):
        assert rule.offset_s(at(text)) == offset
        assert rule.to_utc_s(at(text) + offset) == at(text)


def test_an_hour_that_is_shown_twice_or_never_has_no_utc() -> None:
    rule = DstRule(7200, "us")
    end = at("2026-11-01T06:00")
    assert rule.to_utc_s(end + 7200 + 600) is None
    begin = at("2026-03-08T07:00")
    assert rule.to_utc_s(begin + 7200 + 600) is None


def test_the_offset_needs_three_moves_that_agree() -> None:
    meter = OffsetMeter()
    now = 1_795_514_402_000
    assert meter.moved(now + 7_200_000 - 120, now) is None
    assert meter.moved(now + 7_200_000 - 50, now) is None
    offset = meter.moved(now + 7_200_000, now)
    assert offset is not None
    assert (offset.offset_s, offset.error_ms) == (7200, 120)
    assert meter.moved(now + 3_600_000, now) is None


def test_a_tick_far_off_any_half_hour_measures_nothing() -> None:
    meter = OffsetMeter()
    now = 1_795_514_402_000
    for _ in range(5):
        assert meter.moved(now + 7_200_000 - 45_000, now) is None


def test_a_rule_that_disagrees_with_the_ticks_makes_time_unknown() -> None:
    time = ServerTime(DstRule(7200, "none"), None)
    now = 1_795_514_402_000
    for _ in range(3):
        time.moved(now + 10_800_000, now)
    assert time.current_to_utc(now, now) is None
    assert time.past_to_utc(now, now) is None


def test_a_clock_set_back_revives_no_expired_order() -> None:
    wall, monotonic = [1000.0], [5.0]
    clock = Clock(lambda: wall[0], lambda: monotonic[0])
    wall[0] -= 500
    # What was late stays late, and what was not lives at most a twentieth longer.
    assert clock.now() == 1_000_000
    monotonic[0] += 10
    wall[0] += 10
    assert clock.now() == 1_009_500
    wall[0] = 3000.0
    assert clock.now() == 3_000_000


def test_a_clock_that_was_set_back_is_caught_up_with_without_ever_going_back() -> None:
    wall, monotonic = [1000.0], [0.0]
    clock = Clock(lambda: wall[0], lambda: monotonic[0])
    before = clock.now()
    wall[0] -= 100
    for _ in range(2100):
        wall[0], monotonic[0] = wall[0] + 1, monotonic[0] + 1
        assert clock.now() >= before
        before = clock.now()
    assert before == wall[0] * 1000


def test_a_monotonic_clock_that_runs_fast_for_a_month_makes_no_order_late() -> None:
    wall, monotonic = [1000.0], [0.0]
    clock = Clock(lambda: wall[0], lambda: monotonic[0])
    for _ in range(30 * 24 * 60):
        wall[0], monotonic[0] = wall[0] + 60, monotonic[0] + 60 * 1.0001
        assert clock.now() - wall[0] * 1000 <= 10


def test_orders_go_on_while_time_is_unknown_and_questions_do_not(world: World) -> None:
    world.broker.offset_s += 3600
    world.wait(20)
    for action, payload in (("TICK", {"symbol": "EURUSD"}), ("DEALS", {"since": 0, "after": None, "limit": 10})):
        reply = world.ask(action, payload)
        assert reply is not None
        assert reply["error"]["code"] == "time_unknown"
    reply = world.send(world.order("OPEN", open_payload()))
    assert reply is not None
    assert reply["data"]["state"] == "done"


def test_a_stored_offset_serves_until_one_is_measured(world: World) -> None:
    world.restart()
    hello = world.ask("HELLO")
    assert hello is not None
    assert (hello["data"]["clock"]["offset_s"], hello["data"]["clock"]["source"]) == (7200, "stored")
    world.wait(20)
    hello = world.ask("HELLO")
    assert hello is not None
    assert hello["data"]["clock"]["source"] == "measured"


def life(path: Path, wall_s: float) -> tuple[Ledger, Clock]:
    """The next process on a ledger, on a machine whose clock shows this."""
    ledger = Ledger(path)
    return ledger, steady_clock(ledger, Log(None, to_stderr=False), lambda: wall_s)


def test_a_clock_that_is_set_back_between_two_processes_revives_nothing(tmp_path: Path) -> None:
    path, noon = tmp_path / "gateway.db", at("2026-11-24T12:00")
    ledger, clock = life(path, noon)
    seen = clock.now()
    ledger.close()
    for _ in range(2):
        ledger, clock = life(path, noon - 300)
        assert seen <= clock.now() < seen + 60_000
        ledger.close()


def test_a_clock_that_is_far_behind_is_taken_as_it_is_and_so_is_one_that_is_ahead(tmp_path: Path) -> None:
    path, noon = tmp_path / "gateway.db", at("2026-11-24T12:00")
    for wall_s in (noon, noon + 86400, noon, noon + 5, noon - 700):
        ledger, clock = life(path, wall_s)
        assert wall_s * 1000 <= clock.now() < wall_s * 1000 + 60_000
        ledger.close()


def test_after_a_reboot_the_monotonic_clock_makes_no_time() -> None:
    witnessed = Witnessed(1000.0, monotonic_s=500.0)
    assert witnessed.at_least_s(520.0) == 1020.0
    assert witnessed.at_least_s(3.0) == 1000.0
