"""The whole gateway against random faults in simulated time.

`SENTINEL_MODEL_ORDERS=100000 SENTINEL_WORKERS=2 pytest tests/test_model.py -s` is the size for a night; `SENTINEL_SEED`
repeats a run.
"""

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import Any

import pytest

from fake_terminal.faults import MIXTURES
from judge import Findings, judge
from simulated import World, believed, open_payload, verdict_of

ORDERS_PER_WORLD = 20
ORDERS = int(os.environ.get("SENTINEL_MODEL_ORDERS", "5000"))
WORKERS = int(os.environ.get("SENTINEL_WORKERS", "1"))
SEED = int(os.environ.get("SENTINEL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
# How often the gateway's clock is set forward.
CLOCK_SET_RATE = 0.05
# How often every position gets another ticket.
REOPEN_RATE = 0.1
SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD", "USDJPY")


def one_order(world: World, positions: list[dict[str, Any]]) -> dict[str, Any]:
    """A message to open, or to close what was opened before."""
    chance = world.chance
    if positions and chance.random() < 0.3:
        position = positions.pop(chance.randrange(len(positions)))
        payload = {name: position[name] for name in ("ticket", "symbol", "volume")}
        message = world.order("CLOSE", {**payload, "magic": 2017, "max_deviation_points": 20})
        message["side"] = "sell" if position["side"] == "buy" else "buy"
        return message
    payload = open_payload(
        symbol=chance.choice(SYMBOLS),
        side=chance.choice(("buy", "sell")),
        volume=chance.choice(("0.01", "0.10", "0.25")),
    )
    return world.order("OPEN", payload)


def deliver(world: World, message: dict[str, Any], records: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Sends it as a network may: at once, late, never, after the question about it, or so that the reply is lost."""
    sent = {name: value for name, value in message.items() if name != "side"}
    drawn = world.chance.random()
    if drawn < 0.05:
        return None
    if drawn < 0.10:
        world.time += world.chance.uniform(0, 8)
    elif drawn < 0.15:
        settle_one(world, message, records)
    reply = world.send(sent)
    return None if drawn > 0.90 or message["id"] in records else reply


def live_through(seed: int, mixture: str, margin_mode: str) -> Findings:
    """One world of orders, settled to the end, and the judge's findings."""
    world = World(seed, {**MIXTURES[mixture], "reopen": REOPEN_RATE}, margin_mode, kill_rate=0.01)
    try:
        world.wait(120, 15)
        return judge_world(world)
    finally:
        world.close()


def judge_world(world: World) -> Findings:
    messages: list[dict[str, Any]] = []
    records: dict[str, dict[str, Any]] = {}
    positions: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    for _ in range(ORDERS_PER_WORLD):
        message = one_order(world, positions)
        messages.append(message)
        reply = deliver(world, message, records)
        if reply is None and world.chance.random() < 0.3:
            late.append(message)
        record = reply.get("data") if reply and reply["ok"] else None
        if reply is not None and not reply["ok"]:
            records[message["id"]] = {"state": "never_left"}
        elif record and record["final"]:
            records[message["id"]] = record
            if record["state"] == "done" and message["action"] == "OPEN" and record["position"] and world.broker.book.hedging:
                payload = message["payload"]
                positions.append({**payload, "ticket": record["position"], "volume": record["filled"]})
        world.wait(world.chance.uniform(0, 20), 6)
        if world.chance.random() < CLOCK_SET_RATE:
            world.clock_ahead_s += world.chance.uniform(0, 1000)
        # What the network kept arrives now, sometimes after the client asked.
        if late and world.chance.random() < 0.3:
            held_back = late.pop()
            if world.chance.random() < 0.5 and held_back["id"] not in records:
                settle_one(world, held_back, records)
            world.send({name: value for name, value in held_back.items() if name != "side"})
    for _ in range(60):
        left = [message for message in messages if records.get(message["id"], {}).get("state") not in FINAL]
        if not left:
            break
        for message in left:
            settle_one(world, message, records)
        if late_enough(world, messages) and all(records[message["id"]]["state"] == "held" for message in left):
            break
        world.wait(60, 15)
    for message in messages:
        # What was final is asked again, as a client does at its next start.
        if records[message["id"]]["state"] != "never_left":
            settle_one(world, message, records)
    side = {message["id"]: message.get("side") for message in messages}
    return judge(world.events(), [verdict_of({**m, "side": side[m["id"]]}, records[m["id"]]) for m in messages])


FINAL = ("done", "refused", "absent", "never_left")


def late_enough(world: World, messages: list[dict[str, Any]]) -> bool:
    return world.clock.now() > int(messages[-1]["expires_at"]) + 1_500_000


def settle_one(world: World, message: dict[str, Any], records: dict[str, dict[str, Any]]) -> None:
    asked = {**message, "payload": {**message["payload"]}}
    if message.get("side"):
        asked["payload"]["side"] = message["side"]
    reply = world.status(asked)
    if reply["ok"]:
        records[message["id"]] = believed(records.get(message["id"]), reply["data"])
    else:
        records.setdefault(message["id"], {"state": "unknown"})


def lives(seeds: range, mixture: str, margin_mode: str) -> Iterator[Findings]:
    if WORKERS == 1:
        yield from (live_through(seed, mixture, margin_mode) for seed in seeds)
        return
    with ProcessPoolExecutor(WORKERS) as pool:
        yield from pool.map(live_through, seeds, repeat(mixture), repeat(margin_mode), chunksize=4)


@pytest.mark.parametrize("mixture", ["all", "mild"])
@pytest.mark.parametrize("margin_mode", ["hedging", "netting"])
def test_no_order_is_lost_doubled_invented_or_stale_under_random_faults(mixture: str, margin_mode: str) -> None:
    began = time.monotonic()
    findings = Findings()
    worlds = max(1, ORDERS // ORDERS_PER_WORLD // 4)
    seeds = range(SEED, SEED + worlds)
    for seed, found in zip(seeds, lives(seeds, mixture, margin_mode), strict=True):
        assert found.clean, f"SENTINEL_SEED={seed}, {mixture}, {margin_mode}: {vars(found)}"
        findings.add(found)
    print(f"\nseed {SEED}, {mixture}, {margin_mode}: {findings.shown()} in {time.monotonic() - began:.0f} s")
    if mixture == "mild":
        # Foreign orders that look alike hold an order whose own fate is that it never left.
        assert findings.held <= findings.orders // 20
    assert findings.executed > findings.orders // 3
