"""Kills real processes while they trade, and has the fake terminal's own ledger judged.

In each world one life follows the other: the gateway is killed at a named place, at a random moment, or by the terminal in
the middle of a call; now and then the terminal is killed too, and the client forgets a reply. Worlds share nothing and
mostly wait, so that a few run at once.
"""

import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

from judge import Findings, judge, read_truth
from processes import Client, Process, start_fake, start_gateway, write_config
from sentinel_gateway.killpoints import POINTS
from simulated import believed, open_payload, verdict_of

KILLS_PER_WORLD = 20
SEEDS_PER_WORLD = 1000
SETTLE_S = 40.0
FINAL = ("done", "refused", "absent", "never_left")


class Campaign:
    def __init__(self, directory: Path, seed: int, faults: str, margin_mode: str) -> None:
        self._directory = directory
        self._seed = seed
        self._faults = faults
        self._margin_mode = margin_mode
        self._chance = random.Random(seed)
        self._places = [f"{place}:{count}" for count in (1, 2) for place in POINTS]
        write_config(directory)
        self._fake = start_fake(directory, seed, faults, margin_mode)
        self._gateway = self._start()
        self._client = Client(self._gateway.address, margin_mode)
        self._client.peer = self._gateway
        self._messages: list[tuple[dict[str, Any], str]] = []
        self._records: dict[str, dict[str, Any]] = {}
        self._positions: list[dict[str, Any]] = []
        self.kills = 0
        self.terminal_kills = 0

    def run(self, kills: int) -> Findings:
        try:
            while self.kills < kills:
                self._one_order()
                self._disturb()
            self._settle()
        finally:
            self._client.close()
            self._gateway.kill()
            self._fake.kill()
        verdicts = [verdict_of({**m, "side": side}, self._records[m["id"]]) for m, side in self._messages]
        return judge(read_truth(self._directory / "truth.db"), verdicts)

    def _start(self, kill_at: str | None = None) -> Process:
        if kill_at is None:
            self._chance.shuffle(self._places)
            kill_at = self._places[0] if self._chance.random() < 0.6 else ""
        return start_gateway(self._directory, kill_at)

    def _revive(self) -> None:
        """Starts again whatever died, and counts it."""
        if not self._fake.alive:
            self._fake.end()
            self._fake = start_fake(self._directory, self._seed, self._faults, self._margin_mode)
        if not self._gateway.alive:
            self.kills += 1
            self._gateway.end()
            self._gateway = self._client.peer = self._start()

    def _disturb(self) -> None:
        drawn = self._chance.random()
        if drawn < 0.15:
            time.sleep(self._chance.uniform(0, 0.05))
            self._gateway.kill()
        elif drawn < 0.20:
            self._fake.kill()
            self.terminal_kills += 1
        self._revive()

    def _one_order(self) -> None:
        if self._client.hello() is None:
            self._revive()
            return
        message, side = self._draw()
        self._messages.append((message, side))
        self._records[message["id"]] = {"state": "unknown"}
        if self._chance.random() < 0.1:
            # Killed while the order is under way.
            reply = self._send_and_kill(message)
        else:
            reply = self._client.ask(message, timeout_s=self._chance.choice((0.02, 3.0, 3.0, 3.0)))
        if self._chance.random() < 0.1:
            reply = None
        self._believe(message, side, reply)
        self._ask_again()

    def _send_and_kill(self, message: dict[str, Any]) -> dict[str, Any] | None:
        reply = self._client.ask(message, timeout_s=self._chance.uniform(0.001, 0.01))
        self._gateway.kill()
        return reply

    def _draw(self) -> tuple[dict[str, Any], str]:
        chance = self._chance
        expires_s = chance.choice((0.05, 2.0, 2.0, 2.0))
        if self._positions and chance.random() < 0.3:
            position = self._positions.pop(chance.randrange(len(self._positions)))
            payload = {name: position[name] for name in ("ticket", "symbol", "volume")}
            payload |= {"magic": 2017, "max_deviation_points": 20}
            side = "sell" if position["side"] == "buy" else "buy"
            return self._client.effect("CLOSE", payload, expires_s), side
        payload = open_payload(
            symbol=chance.choice(("EURUSD", "GBPUSD", "XAUUSD", "USDJPY")),
            side=chance.choice(("buy", "sell")),
            volume=chance.choice(("0.01", "0.10", "0.25")),
        )
        return self._client.effect("OPEN", payload, expires_s), payload["side"]

    def _believe(self, message: dict[str, Any], side: str, reply: dict[str, Any] | None) -> None:
        if reply is None:
            return
        if not reply["ok"]:
            if reply["action"] == message["action"]:
                self._records[message["id"]] = {"state": "never_left"}
            return
        record = reply["data"]
        self._records[message["id"]] = believed(self._records[message["id"]], record)
        opened = record["state"] == "done" and message["action"] == "OPEN" and record["position"]
        if opened and self._margin_mode == "hedging" and len(self._positions) < 20:
            position = {**message["payload"], "ticket": record["position"], "volume": record["filled"], "side": side}
            self._positions.append(position)

    def _ask_again(self) -> None:
        """A few of the open ones; the rest waits."""
        left = self._left()
        for message, side in self._chance.sample(left, min(3, len(left))):
            self._believe(message, side, self._client.status(message, side, timeout_s=1.0))

    def _left(self) -> list[tuple[dict[str, Any], str]]:
        return [pair for pair in self._messages if self._records[pair[0]["id"]]["state"] not in FINAL]

    def _settle(self) -> None:
        """Nobody is killed any more; everything must come to its end."""
        self._gateway.kill()
        self._gateway.end()
        self._gateway = self._client.peer = self._start(kill_at="")
        until = time.monotonic() + SETTLE_S
        settled_at: float | None = None
        while time.monotonic() < until:
            self._revive()
            self._client.hello()
            for message, side in self._left():
                self._believe(message, side, self._client.status(message, side))
            left = {self._records[message["id"]]["state"] for message, _ in self._left()}
            if not left:
                break
            # What is held may still be found for as long as lists lag.
            settled_at = (settled_at or time.monotonic()) if left == {"held"} else None
            if settled_at is not None and time.monotonic() > settled_at + 4:
                break
            time.sleep(0.2)
        for message, side in self._messages:
            if self._records[message["id"]]["state"] != "never_left":
                self._believe(message, side, self._client.status(message, side))


def campaign(kills: int, seed: int, faults: str, at_once: int) -> tuple[Findings, str]:
    """All worlds' findings, and the figures in one line."""
    sizes = [min(KILLS_PER_WORLD, kills - begun) for begun in range(0, kills, KILLS_PER_WORLD)]
    findings, done, terminal_kills, began = Findings(), 0, 0, time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        seeds = [seed + SEEDS_PER_WORLD * number for number in range(len(sizes))]
        for found, world in pool.map(_world, seeds, sizes, repeat(faults)):
            findings.add(found)
            done += world.kills
            print(f"{done} of {kills} kills after {time.monotonic() - began:.0f} s, {found.shown()}", flush=True)
            terminal_kills += world.terminal_kills
    seconds = time.monotonic() - began
    figures = f"seed {seed}: {done} kills of the gateway, {terminal_kills} of the terminal in {seconds:.0f} s: "
    return findings, figures + findings.shown()


def _world(seed: int, kills: int, faults: str) -> tuple[Findings, Campaign]:
    """Every second world is a netting account."""
    margin_mode = ("hedging", "netting")[seed // SEEDS_PER_WORLD % 2]
    with tempfile.TemporaryDirectory(prefix="sentinel-gateway-") as directory:
        world = Campaign(Path(directory), seed, faults, margin_mode)
        return world.run(kills), world
