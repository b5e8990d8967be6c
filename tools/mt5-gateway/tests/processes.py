"""Real processes for tests: the fake terminal, the gateway, and a client that gives up on late replies."""

import atexit
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

ROOT = Path(__file__).parent.parent
FACTOR = 0.01
PATIENCE_S = 60.0
GUARD = {"login": 5012345, "server": "Broker-Demo", "trade_mode": "demo", "margin_mode": "hedging"}
CONFIG = """
[gateway]
bind = "{bind}"
state = "state"
{curve}
[terminal]
login = 5012345
server = "Broker-Demo"
[time]
winter_s = 7200
dst = "none"
"""


# What Python compiles is kept for as long as the tests run: a campaign starts a thousand processes.
_COMPILED = tempfile.TemporaryDirectory(prefix="sentinel-gateway-compiled-")


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'fake'}",
        "PYTHONPYCACHEPREFIX": _COMPILED.name,
        "FAKE_MT5_SOCKET": str(directory / "s"),
        **more,
    }


class Process:
    """A program that says `listening on` when it can be used. A test that fails leaves it to the end of all tests."""

    def __init__(self, arguments: list[str], directory: Path, under: Sequence[str] = (), **more: str) -> None:
        self._errors = (directory / f"{arguments[0]}.err").open("ab")
        self.popen = subprocess.Popen(
            [*under, sys.executable, "-m", *arguments],
            env=environment(directory, **more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        atexit.register(self.kill)
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        while line and not line.startswith("listening on "):
            line = self.popen.stdout.readline()
        self.address = line.removeprefix("listening on ").strip()

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        if self.alive:
            self.popen.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> int:
        code = self.popen.wait(timeout=60)
        for file in (self.popen.stdin, self.popen.stdout, self._errors):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        atexit.unregister(self.kill)
        return code


def start_fake(
    directory: Path, seed: int = 1, faults: str = "none", margin_mode: str = "hedging", factor: float = FACTOR
) -> Process:
    arguments = ["fake_terminal", "--socket", str(directory / "s"), "--truth", str(directory / "truth.db")]
    arguments += ["--seed", str(seed), "--faults", faults, "--time-factor", str(factor), "--margin-mode", margin_mode]
    return Process(arguments, directory)


def write_config(directory: Path, bind: str = "ipc://gateway", curve: str = "") -> Path:
    path = directory / "gateway.toml"
    path.write_text(CONFIG.format(bind=bind.replace("ipc://gateway", f"ipc://{directory}/g"), curve=curve))
    return path


def start_gateway(directory: Path, kill_at: str = "", factor: float = FACTOR, under: Sequence[str] = ()) -> Process:
    arguments = ["sentinel_gateway", "serve", "--config", str(directory / "gateway.toml"), "--time-factor", str(factor)]
    return Process(arguments, directory, under, SENTINEL_GATEWAY_KILL_AT=kill_at)


def tell_fake(directory: Path, call: str, args: dict[str, Any]) -> Any:
    """A call of the fake terminal by somebody who is no gateway."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(directory / "s"))
        said = json.dumps({"call": call, "args": args}).encode()
        connection.sendall(len(said).to_bytes(4, "big") + said)
        with connection.makefile("rb") as file:
            heard = json.loads(file.read(int.from_bytes(file.read(4), "big")))
    assert heard["error"][0] == 1, heard
    return heard["value"]


class Client:
    """One request at a time. A reply that does not come in time is given up, with its socket."""

    def __init__(self, address: str, margin_mode: str = "hedging") -> None:
        self._address = address
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.guard = {**GUARD, "margin_mode": margin_mode}
        self.ledger = ""
        self.seen = 0
        # A client cannot see that a gateway died. A test need not wait for what cannot come.
        self.peer: Process | None = None

    def close(self) -> None:
        self._context.destroy(linger=0)

    def ask(self, message: dict[str, Any], timeout_s: float = 3.0) -> dict[str, Any] | None:
        if self.peer is not None and not self.peer.alive:
            return None
        socket = self._context.socket(zmq.REQ)
        socket.linger = 0
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDTIMEO, int(min(timeout_s, 0.5) * 1000))
        socket.connect(self._address)
        try:
            socket.send(json.dumps({"v": "sentinel/1", **message}).encode())
            if not self._replied(socket, timeout_s):
                return None
            reply: dict[str, Any] = json.loads(socket.recv())
        except zmq.Again:
            return None
        finally:
            socket.close()
        if reply["id"] != message["id"]:
            return None
        if reply["ledger"] == self.ledger:
            self.seen = max(self.seen, reply["seq"])
        return reply

    def _replied(self, socket: "zmq.Socket[bytes]", timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not socket.poll(min(20, int(timeout_s * 1000))):
            if time.monotonic() > until or (self.peer is not None and not self.peer.alive):
                return False
        return True

    def hello(self, timeout_s: float = 3.0) -> dict[str, Any] | None:
        reply = self.ask({"id": "hello", "action": "HELLO", "payload": {"symbols": ["EURUSD"]}}, timeout_s)
        if reply is not None and reply["ledger"] != self.ledger:
            self.ledger, self.seen = reply["ledger"], reply["seq"]
        return reply

    def effect(self, action: str, payload: dict[str, Any], expires_s: float = 2.0) -> dict[str, Any]:
        return {
            "id": base64.b32encode(os.urandom(20)).decode().lower(),
            "action": action,
            "expires_at": int((time.time() + expires_s) * 1000),
            "guard": self.guard,
            "ledger": self.ledger,
            "seen": self.seen,
            "payload": payload,
        }

    def status(self, message: dict[str, Any], side: str, timeout_s: float = 3.0) -> dict[str, Any] | None:
        payload = message["payload"]
        order = {"action": message["action"], "side": side} | {k: payload[k] for k in ("symbol", "volume", "magic")}
        if message["action"] == "CLOSE":
            order["ticket"] = payload["ticket"]
        return self.ask(
            {
                "id": "status",
                "action": "ORDER_STATUS",
                "guard": self.guard,
                "ledger": self.ledger,
                "seen": self.seen,
                "payload": {
                    "about": message["id"],
                    "ledger_at_send": message["ledger"],
                    "sent_at": message["expires_at"] - 2000,
                    "expires_at": message["expires_at"],
                    "order": order,
                },
            },
            timeout_s,
        )


def settled(client: Client, message: dict[str, Any], side: str = "buy") -> dict[str, Any]:
    """The Record once it is final or held."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if client.hello() is not None:
            reply = client.status(message, side)
            if reply is not None and reply["ok"] and (reply["data"]["final"] or reply["data"]["state"] == "held"):
                record: dict[str, Any] = reply["data"]
                return record
        time.sleep(0.05)
    raise AssertionError("the order was never settled")
