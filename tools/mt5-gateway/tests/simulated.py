"""A whole gateway and its terminal in one process and in simulated time, with a client that loses messages."""

import base64
import json
import random
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_terminal.broker import Broker
from fake_terminal.calls import Calls
from fake_terminal.faults import Faults
from fake_terminal.truth import NoTruth
from judge import Event
from sentinel_gateway.clock import Clock, DstRule
from sentinel_gateway.gateway import Gateway
from sentinel_gateway.guard import Expected
from sentinel_gateway.killpoints import POINTS, KillPoint
from sentinel_gateway.ledger import Ledger
from sentinel_gateway.log import Log
from sentinel_gateway.waits import Waits
from sentinel_gateway.watch import NoWatch
from wheel import PipeBroken, Wheel

SEND_LIMIT_S = 45.0
START = 1_795_514_400.0
GUARD = {"login": 5012345, "server": "Broker-Demo", "trade_mode": "demo", "margin_mode": "hedging"}


class Died(BaseException):
    """The gateway's process ended here."""


class SimulatedClock(Clock):
    def __init__(self, world: "World") -> None:
        self._world = world

    def now(self) -> int:
        return int((self._world.time + self._world.clock_ahead_s) * 1000)

    def steady(self) -> int:
        return int((self._world.time - START) * 1000)

    def sleep(self, seconds: float) -> None:
        self._world.time += seconds


class SimulatedKill(KillPoint):
    """Dies at a place with a chance, or at the place that a test names."""

    def __init__(self, world: "World", place: str = "", rate: float = 0.0) -> None:
        super().__init__("")
        self._world = world
        self.place = place
        self.rate = rate

    def __call__(self, name: str) -> None:
        assert name in POINTS
        if name == self.place:
            self.place = ""
            raise Died(name)
        if self.rate and self._world.chance.random() < self.rate:
            raise Died(name)


class SimulatedPipe:
    """The transport to a broker in this process. What would kill or hang the gateway raises `Died`."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def open(self) -> bool:
        return True

    def close(self) -> None:
        return

    def call(self, call: str, args: dict[str, Any]) -> tuple[Any, tuple[int, str]]:
        world = self._world
        world.time += 0.001
        began = world.time
        result = world.calls.answer(call, args, 0)
        if result.then == "drop":
            raise PipeBroken
        if result.then == "hang":
            world.time += SEND_LIMIT_S
        if result.then or world.time - began > SEND_LIMIT_S:
            raise Died(call)
        return result.value, result.error


class World:
    """One broker, one ledger, and gateways that come and go."""

    def __init__(
        self, seed: int = 1, rates: dict[str, float] | None = None, margin_mode: str = "hedging", kill_rate: float = 0.0
    ) -> None:
        self.chance = random.Random(seed)
        self.time = START
        # How far somebody has set the gateway's clock forward, and the client's, who asks the gateway.
        self.clock_ahead_s = 0.0
        self.truth = NoTruth()
        self.guard = {**GUARD, "margin_mode": margin_mode}
        self.broker = Broker(self.truth, Faults(seed, rates or {}), self._tick, self._pass, margin_mode=margin_mode)
        self.calls = Calls(self.broker)
        self._directory = tempfile.TemporaryDirectory(dir=_fast_disk())
        self.path = Path(self._directory.name) / "gateway.db"
        self.clock = SimulatedClock(self)
        self.waits = Waits.scaled()
        self.kill = SimulatedKill(self, rate=kill_rate)
        self.ledger = self._open()
        self.deaths = 0
        self.expected = Expected()
        # What a test's client was told, for the judge.
        self.verdicts: list[dict[str, Any]] = []
        self.gateway = self._start()

    def close(self) -> None:
        self.ledger.close()
        self._directory.cleanup()

    def _tick(self) -> float:
        """As on a real clock, no two readings are the same."""
        self.time += 1e-6
        return self.time

    def _pass(self, seconds: float) -> None:
        self.time += seconds

    def _open(self) -> Ledger:
        return Ledger(self.path, synchronous="OFF", wall=lambda: self.clock.now() / 1000)

    def _start(self) -> Gateway:
        wheel = Wheel(SimulatedPipe(self), lambda: self.clock.now() / 1000)
        gateway = Gateway(
            wheel, self.ledger, self.clock, self.waits, NoWatch(), Log(None, to_stderr=False),
            expected=self.expected, rule=DstRule(7200, "none"), kill=self.kill,
        )  # fmt: skip
        gateway.settler.watch_symbols(["EURUSD"])
        return gateway

    def restart(self, keep_ledger: bool = True) -> None:
        """A new process on the same ledger, or on none."""
        self.deaths += 1
        self.ledger.close()
        if not keep_ledger:
            for file in self.path.parent.iterdir():
                file.unlink()
        self.ledger = self._open()
        self.gateway = self._start()

    def copy_of_store(self) -> Path:
        """A backup, as somebody may make it and restore it later."""
        copy = self.path.with_suffix(".copy")
        with sqlite3.connect(self.path) as db, sqlite3.connect(copy) as to:
            db.backup(to)
        return copy

    def restore(self, copy: Path) -> None:
        """A new process on a store that somebody restored from a copy."""
        self.ledger.close()
        for file in self.path.parent.glob("gateway.db*"):
            file.unlink()
        copy.rename(self.path)
        self.ledger = self._open()
        self.gateway = self._start()

    def run(self, what: Callable[[], Any]) -> Any:
        """Does it, and starts the gateway again where that killed it."""
        try:
            return what()
        except Died:
            self.time += self.chance.uniform(0.5, 5)
            self.restart()
            return None

    def ask(self, action: str, payload: dict[str, Any] | None = None, **more: Any) -> dict[str, Any] | None:
        """The reply, or `None` where the gateway died over it."""
        said = {"v": "sentinel/1", "id": "q", "action": action, "payload": payload or {}, **more}
        raw = self.run(lambda: self.gateway.handle(json.dumps(said).encode()))
        return None if raw is None else json.loads(raw)

    def order(self, action: str, payload: dict[str, Any], id: str | None = None, **more: Any) -> dict[str, Any]:
        """An effect's message, good for five seconds."""
        return {
            "v": "sentinel/1",
            "id": id or self.new_id(),
            "action": action,
            "expires_at": self.clock.now() + 5000,
            "guard": self.guard,
            "ledger": self.ledger.name,
            "seen": self.ledger.seq,
            "payload": payload,
            **more,
        }

    def send(self, message: dict[str, Any]) -> dict[str, Any] | None:
        raw = self.run(lambda: self.gateway.handle(json.dumps(message).encode()))
        return None if raw is None else json.loads(raw)

    def status(self, message: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Asks until a gateway lives long enough to answer."""
        order = {name: message["payload"].get(name) for name in ("symbol", "side", "volume", "magic", "ticket")}
        payload = {
            "about": message["id"],
            "ledger_at_send": message["ledger"],
            "sent_at": message["expires_at"] - 5000,
            "expires_at": message["expires_at"],
            "order": {"action": message["action"], **{k: v for k, v in order.items() if v is not None}},
        }
        while True:
            more = {"ledger": self.ledger.name, "seen": message["seen"], "guard": self.guard, **more}
            reply = self.ask("ORDER_STATUS", payload, **more)
            if reply is not None:
                return reply

    def wait(self, seconds: float, step: float = 2.0) -> None:
        """Lets time pass over an idle gateway."""
        until = self.time + seconds
        while self.time < until:
            self.time += step
            self.run(lambda: self.gateway.idle())

    def settled(self, message: dict[str, Any], seconds: float = 900, step: float = 5.0) -> dict[str, Any]:
        """The Record once it is final or held, or after a long time."""
        until = self.time + seconds
        while True:
            record: dict[str, Any] = self.status(message)["data"]
            if record["final"] or (record["state"] == "held" and self.time > until - seconds / 2) or self.time > until:
                return record
            self.wait(step, step)

    def new_id(self) -> str:
        return base64.b32encode(self.chance.randbytes(20)).decode().lower()

    def plan(self, *plans: dict[str, Any]) -> None:
        self.broker.faults.lay_ready(list(plans))

    def events(self) -> list[Event]:
        self.broker.advance()
        return list(self.truth.events())


def open_payload(**more: Any) -> dict[str, Any]:
    return {
        "symbol": "EURUSD",
        "side": "buy",
        "volume": "0.10",
        "sl": None,
        "tp": None,
        "magic": 2017,
        "max_deviation_points": 20,
        **more,
    }


def believed(before: dict[str, Any] | None, told: dict[str, Any]) -> dict[str, Any]:
    """What a client believes: what was final may gain a price, and a state that changes is a broken promise."""
    if before is not None and before.get("final") and told["state"] != before["state"]:
        return told | {"state": f"{told['state']} after it was {before['state']}"}
    return told


def verdict_of(message: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """What the judge is given: the question, and what the client believes."""
    payload = message["payload"]
    return {
        "id": message["id"],
        "action": message["action"],
        "symbol": payload["symbol"],
        "side": payload.get("side") or message.get("side"),
        "volume": payload["volume"],
        "magic": payload["magic"],
        "expires_at": message["expires_at"],
        **{name: record.get(name) for name in ("state", "filled", "price", "order")},
    }


def _fast_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
