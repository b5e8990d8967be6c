"""`sentinel-gateway selftest`: trades the smallest volume on a demo account and says what holds at this broker.

First it calls the terminal itself: what orders, deals and positions keep of magic number and comment, how late each list is,
what the clock shows. Then it lets a real gateway trade, kills it inside `order_send`, and measures how long the evidence
takes. What it proves about the carriers goes into the ledger, and the report into the state directory.
"""

import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zmq

from sentinel_gateway import rules
from sentinel_gateway.carriers import comment_of, magic63_of
from sentinel_gateway.clock import Clock, DstRule, ServerTime
from sentinel_gateway.config import Config
from sentinel_gateway.facts import Symbol
from sentinel_gateway.ledger import Ledger
from sentinel_gateway.protocol import VERSION as PROTOCOL
from sentinel_gateway.serve import wheel
from sentinel_gateway.terminal import LOOKAHEAD_S, LOOKBACK_S, Terminal
from sentinel_gateway.waits import Waits
from sentinel_gateway.watch import Watch

MAGIC = 4242
LISTS = ("orders", "history_orders", "deals", "positions")
LAG_WAIT_S = 60.0
HOUR = 16385
HOURS_OF_A_YEAR = 52 * 5 * 24


class Failed(Exception):
    """Why the self-test cannot go on."""


def selftest(config: Config, path: Path, symbol: str, kills: int, factor: float) -> int:
    """0 where the carriers are intact and every kill was settled."""
    report: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "symbol": symbol}
    waits = Waits.scaled(factor, config.absent_after_s)
    ledger = Ledger(config.state / "gateway.db")
    try:
        direct = Direct(config, waits, symbol)
        report |= direct.look()
        tell(f"two orders of {symbol} open and close the smallest volume: which lists show them, and when")
        report["carriers"] = direct.carriers()
        report["lags_s"] = direct.lags
        tell("ticks that move tell the server's clock")
        report["time"] = direct.time()
        ledger.put_meta("carriers", report["carriers"])
        direct.end()
    except Failed as failed:
        print(f"the self-test stopped: {failed}")
        return 1
    finally:
        ledger.close()
    report["kills"] = []
    killed = Killed(config, path, symbol, factor)
    for number in range(kills):
        write(config, report)
        tell(f"kill {number + 1} of {kills}, inside order_send; it may take {config.absent_after_s * factor:.0f} s and more")
        report["kills"].append(killed.settle(number))
        tell(f"kill {number + 1} of {kills}: {report['kills'][-1]['state']} after {report['kills'][-1]['seconds']} s")
    write(config, report)
    print(json.dumps(report, indent=1))
    intact = report["carriers"]["magic"] == "intact"
    settled = all(kill["state"] in ("done", "refused", "absent") for kill in report["kills"])
    longest_s = max((kill["seconds"] for kill in report["kills"]), default=0)
    print(f"carriers: magic {report['carriers']['magic']}, comment {report['carriers']['comment']}")
    print(f"kills: {len(report['kills'])}, all settled: {settled}, the longest took {longest_s:.0f} s")
    return 0 if intact and settled else 1


def tell(text: str) -> None:
    print(text, flush=True)


def write(config: Config, report: dict[str, Any]) -> None:
    """After each part, so that an interrupted self-test has not been for nothing."""
    (config.state / "selftest.json").write_text(json.dumps(report, indent=1))


class Direct:
    """Calls the terminal without a gateway in between."""

    def __init__(self, config: Config, waits: Waits, symbol: str) -> None:
        self._clock = Clock()
        self._waits = waits
        self._rule = config.rule
        self._terminal = Terminal(wheel(), config.terminal_path, self._clock, waits, Watch())
        if not self._terminal.attach():
            raise Failed(f"the terminal does not answer: {self._terminal.last_error}")
        account = self._terminal.account()
        if account.trade_mode != "demo":
            raise Failed(f"{account.login} is a {account.trade_mode} account: the self-test trades on demo accounts only")
        self._account = account
        found = self._terminal.symbol(symbol)
        if found is None:
            raise Failed(f"the broker has no symbol {symbol}")
        self._symbol: Symbol = found
        self.lags: dict[str, float | None] = {}

    def end(self) -> None:
        self._terminal.detach()

    def look(self) -> dict[str, Any]:
        return {
            "package": self._terminal.package,
            "terminal": vars(self._terminal.terminal_info()),
            "account": {name: getattr(self._account, name) for name in ("login", "server", "margin_mode", "fifo_close")},
            "symbol_facts": {name: str(value) for name, value in vars(self._symbol).items()},
        }

    def carriers(self) -> dict[str, Any]:
        """Opens and closes the smallest volume with a magic number of 63 bits and a comment of 23 characters."""
        id = base64.b32encode(b"\xff" + os.urandom(19)).decode().lower()
        magic63, comment = magic63_of(id, MAGIC), comment_of(id)
        order = self._deal({"type": 0, "magic": magic63, "comment": comment})
        shown = self._collect(order)
        position = next((item.position for item in shown["deals"]), 0) or order
        closing = self._deal({"type": 1, "magic": magic63, "comment": comment, "position": position})
        closed = self._collect(closing, only=("history_orders", "deals"))
        everything = [*shown["history_orders"], *shown["deals"], *shown["positions"]]
        everything += [*closed["history_orders"], *closed["deals"]]
        if not everything:
            raise Failed("no list shows the orders of the self-test")

        def verdict(kept: Callable[[Any], bool]) -> str:
            return "intact" if all(kept(item) for item in everything) else "rewritten"

        return {
            "login": self._account.login,
            "server": self._account.server,
            "magic": verdict(lambda item: item.magic == magic63),
            "comment": verdict(lambda item: item.comment == comment),
            "comments_seen": sorted({item.comment for item in everything}),
            "order_is_position": position == order,
        }

    def time(self) -> dict[str, Any]:
        """The offset on ticks that move, and the hours at which a year's weeks began by the rule."""
        server_time = ServerTime(None, None)
        before, until = 0, time.monotonic() + LAG_WAIT_S
        while server_time.offset is None and time.monotonic() < until:
            tick = self._terminal.tick(self._symbol.name)
            if tick is not None and before and tick.time_ms > before:
                server_time.moved(tick.time_ms, self._clock.now())
            before = tick.time_ms if tick is not None else 0
            time.sleep(0.02)
        measured = server_time.offset
        return {
            "offset_s": measured.offset_s if measured else None,
            "error_ms": measured.error_ms if measured else None,
            "week_openings_utc": self._week_openings(self._rule) if self._rule else None,
        }

    def _week_openings(self, rule: DstRule) -> dict[str, int]:
        """One opening hour in summer and one in winter mean that the rule is the server's."""
        openings: Counter[str] = Counter()
        before = 0
        for bar in self._terminal.bars(self._symbol.name, HOUR, HOURS_OF_A_YEAR):
            opened = int(bar[0])
            if before and opened - before > 24 * 3600:
                utc = rule.to_utc_s(opened)
                openings["ambiguous" if utc is None else datetime.fromtimestamp(utc, UTC).strftime("%a %H:%M")] += 1
            before = opened
        return dict(openings)

    def _deal(self, more: dict[str, Any]) -> int:
        tick = self._terminal.tick(self._symbol.name)
        filling = rules.filling_of(self._symbol)
        if tick is None or filling is None:
            raise Failed(f"{self._symbol.name} has no price, or no filling")
        request = {
            "action": 1,
            "symbol": self._symbol.name,
            "volume": float(self._symbol.volume_min),
            "price": tick.ask if more["type"] == 0 else tick.bid,
            "type_time": 0,
            "type_filling": rules.FILLING[filling],
            **more,
        }
        result = self._terminal.order_send(request)
        if result is None or result.retcode not in (10008, 10009, 10010):
            said = self._terminal.last_error if result is None else (result.retcode, result.comment)
            raise Failed(f"the smallest order was not executed: {said}")
        return int(result.order)

    def _collect(self, order: int, only: tuple[str, ...] = LISTS) -> dict[str, list[Any]]:
        """Waits until each list shows the order, and keeps how long that took."""
        began, shown = time.monotonic(), {name: list[Any]() for name in LISTS}
        wanted = [name for name in only if name != "orders"]
        until = began + LAG_WAIT_S
        while time.monotonic() < until and not all(shown[name] for name in wanted):
            now_s = self._clock.now() // 1000
            lists: dict[str, list[Any]] = {
                "history_orders": self._terminal.history_orders(now_s - LOOKBACK_S, now_s + LOOKAHEAD_S),
                "deals": self._terminal.history_deals(now_s - LOOKBACK_S, now_s + LOOKAHEAD_S),
                "positions": self._terminal.positions(),
            }
            for name in wanted:
                key = {"history_orders": "ticket", "deals": "order", "positions": "identifier"}[name]
                found = [item for item in lists[name] if getattr(item, key) == order]
                if found and not shown[name]:
                    shown[name] = found
                    lag = round(time.monotonic() - began, 3)
                    self.lags[name] = max(lag, self.lags.get(name) or 0)
            time.sleep(0.005)
        return shown


class Killed:
    """A client of a real gateway that is killed inside `order_send`, again and again."""

    def __init__(self, config: Config, path: Path, symbol: str, factor: float) -> None:
        self._command = [sys.executable, "-m", "sentinel_gateway", "serve", "--config", str(path)]
        self._command += ["--time-factor", str(factor), "--with-parent"]
        if config.server_secret is not None:
            raise Failed("run the self-test with a configuration without curve, bound to 127.0.0.1")
        self._symbol = symbol
        self._patience_s = max(30.0, 4 * config.absent_after_s * factor)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def settle(self, number: int) -> dict[str, Any]:
        serve, address = self._start(announce=True)
        hello = self._hello(address)
        message = self._open(hello)
        socket = self._socket(address)
        socket.send(json.dumps(message).encode())
        self._kill_inside(serve, delay_s=number * 0.002)
        socket.close()
        began = time.monotonic()
        serve, address = self._start()
        try:
            record = self._ask_until_final(address, message, began)
            seconds = round(time.monotonic() - began, 1)
            if record["state"] == "done":
                self._close(address, record)
            return {"state": record["state"], "proof": record["proof"], "seconds": seconds}
        finally:
            serve.kill()
            serve.wait()

    def _kill_inside(self, serve: "subprocess.Popen[str]", delay_s: float) -> None:
        assert serve.stdout is not None
        for line in serve.stdout:
            if '"order_send"' in line:
                time.sleep(delay_s)
                break
        serve.kill()
        serve.wait()

    def _ask_until_final(self, address: str, message: dict[str, Any], began: float) -> dict[str, Any]:
        while True:
            hello = self._hello(address)
            payload = {
                "about": message["id"],
                "ledger_at_send": message["ledger"],
                "sent_at": message["expires_at"] - 10_000,
                "expires_at": message["expires_at"],
                "order": {
                    "action": "OPEN",
                    **{k: message["payload"][k] for k in ("symbol", "side", "volume", "magic")},
                },
            }
            ledger = {"ledger": hello["ledger"], "seen": message["seen"]}
            reply = self._ask(address, {"id": "status", "action": "ORDER_STATUS", "payload": payload, **ledger})
            record: dict[str, Any] = reply["data"]
            if record["final"] or time.monotonic() - began > self._patience_s:
                return record
            time.sleep(0.2)

    def _open(self, hello: dict[str, Any]) -> dict[str, Any]:
        facts = hello["data"]["symbols"][self._symbol]
        payload = {"symbol": self._symbol, "side": "buy", "volume": facts["volume_min"], "sl": None, "tp": None}
        return self._effect(hello, "OPEN", {**payload, "magic": MAGIC, "max_deviation_points": 50})

    def _close(self, address: str, record: dict[str, Any]) -> None:
        hello = self._hello(address)
        if hello["data"]["account"]["margin_mode"] != "hedging" or not record["position"]:
            print(f"close {record['filled']} of {self._symbol} by hand")
            return
        payload = {"ticket": record["position"], "symbol": self._symbol, "volume": record["filled"], "magic": MAGIC}
        reply = self._ask(address, self._effect(hello, "CLOSE", {**payload, "max_deviation_points": 50}))
        if not reply["ok"] or reply["data"]["state"] != "done":
            print(f"close position {record['position']} by hand: {reply}")

    def _effect(self, hello: dict[str, Any], action: str, payload: dict[str, Any]) -> dict[str, Any]:
        account = hello["data"]["account"]
        return {
            "v": PROTOCOL,
            "id": base64.b32encode(os.urandom(20)).decode().lower(),
            "action": action,
            "expires_at": hello["now"] + 10_000,
            "guard": {name: account[name] for name in ("login", "server", "trade_mode", "margin_mode")},
            "ledger": hello["ledger"],
            "seen": hello["seq"],
            "payload": payload,
        }

    def _hello(self, address: str) -> dict[str, Any]:
        until = time.monotonic() + self._patience_s
        while True:
            reply = self._ask(address, {"id": "hello", "action": "HELLO", "payload": {"symbols": [self._symbol]}})
            if reply["ok"] or time.monotonic() > until:
                return reply
            time.sleep(0.2)

    def _ask(self, address: str, message: dict[str, Any]) -> dict[str, Any]:
        socket = self._socket(address)
        socket.send(json.dumps({"v": PROTOCOL, **message}).encode())
        if not socket.poll(int(self._patience_s * 1000)):
            raise Failed("the gateway does not answer")
        reply: dict[str, Any] = json.loads(socket.recv())
        socket.close()
        return reply

    def _socket(self, address: str) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.REQ)
        socket.linger = 0
        socket.connect(address)
        return socket

    def _start(self, announce: bool = False) -> tuple["subprocess.Popen[str]", str]:
        """What announces must be read, so only the gateway that will be killed does."""
        command = [*self._command, "--announce"] if announce else self._command
        serve = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert serve.stdout is not None
        for line in serve.stdout:
            if line.startswith("listening on "):
                return serve, line.removeprefix("listening on ").strip()
        raise Failed(f"the gateway ended with code {serve.wait()}")
