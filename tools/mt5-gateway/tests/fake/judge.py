"""The judge: compares what a client was told with what the broker did. It shares no code with the gateway.

    python judge.py --truth truth.db --verdicts verdicts.jsonl

A verdict is one line: what the client asked (`id`, `action`, `symbol`, `side`, `volume`, `magic`, `expires_at`), and what it
believes in the end (`state`, and of the Record `filled`, `price`, `order`).
"""

import argparse
import base64
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = tuple[float, str, dict[str, Any]]
STALE_TOLERANCE_MS = 500
NOT_DONE = ("refused", "absent", "never_left")


@dataclass
class Findings:
    """All must be empty."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    held_without_need: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    # Not a fault: no list can tell, and a person must.
    held: int = 0
    orders: int = 0
    executed: int = 0

    @property
    def clean(self) -> bool:
        return not any(value for value in vars(self).values() if isinstance(value, list))

    def add(self, other: "Findings") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def shown(self) -> str:
        counts = {name: len(value) if isinstance(value, list) else value for name, value in vars(self).items()}
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


@dataclass
class Executed:
    """One order at the broker."""

    data: dict[str, Any]
    volume: float = 0.0
    cost: float = 0.0

    @property
    def price(self) -> float:
        return self.cost / self.volume if self.volume else 0.0


def carriers(id: str, magic: int) -> tuple[int, str]:
    """Worked out anew from the specification: 32 bits of the id above 31 bits of magic, and `sn:` with 20 characters."""
    bits = "".join(f"{byte:08b}" for byte in base64.b32decode(id.upper()))
    return int(bits[:32] + f"{magic:031b}", 2), "sn:" + id[:20]


def judge(events: Iterable[Event], verdicts: Iterable[dict[str, Any]]) -> Findings:
    orders: dict[int, Executed] = {}
    calls: dict[int, dict[str, Any]] = {}
    for _, kind, data in events:
        if kind == "accepted":
            orders[data["ticket"]] = Executed(data)
        elif kind == "deal" and data["order"]:
            orders[data["order"]].volume += data["volume"]
            orders[data["order"]].cost += data["volume"] * data["price"]
        elif kind == "sent":
            calls[data["number"]] = data
    findings = Findings()
    asked = {}
    for verdict in verdicts:
        asked[carriers(verdict["id"], verdict.get("magic") or 0)[0]] = verdict
    by_id: dict[str, list[Executed]] = {verdict["id"]: [] for verdict in asked.values()}
    for order in orders.values():
        if order.data["number"] == 0:
            continue
        owner = asked.get(order.data["magic_sent"])
        if owner is None:
            findings.invented.append(f"order {order.data['ticket']} that nobody asked for")
        else:
            by_id[owner["id"]].append(order)
    _stale(calls.values(), asked, findings)
    for verdict in asked.values():
        _judge_one(verdict, by_id[verdict["id"]], orders, findings)
    return findings


def _stale(calls: Iterable[dict[str, Any]], asked: dict[int, dict[str, Any]], findings: Findings) -> None:
    for call in calls:
        verdict = asked.get(call["request"].get("magic", 0))
        if verdict is None:
            continue
        late_ms = call["called_at"] * 1000 - verdict["expires_at"]
        if late_ms > STALE_TOLERANCE_MS:
            findings.stale.append(f"{verdict['id']} {late_ms:.0f} ms late")


def _judge_one(verdict: dict[str, Any], own: list[Executed], orders: dict[int, Executed], findings: Findings) -> None:
    id, state = verdict["id"], verdict["state"]
    findings.orders += 1
    filled = [order for order in own if order.volume > 0]
    findings.executed += bool(filled)
    if len(own) > 1:
        findings.doubled.append(id)
    if state in NOT_DONE:
        if filled:
            findings.lost.append(f"{id} is {state} and was executed")
    elif state == "done":
        if not filled:
            findings.invented.append(f"{id} is done and was not executed")
        elif len(filled) == 1:
            wrong = _difference(verdict, filled[0])
            if wrong:
                findings.wrong.append(f"{id}: {wrong}")
    elif state == "held":
        findings.held += 1
        if not _needed(verdict, own, orders):
            findings.held_without_need.append(id)
    else:
        findings.open.append(f"{id} is {state}")


def _difference(verdict: dict[str, Any], order: Executed) -> str:
    """What the client believes otherwise than it was."""
    data = order.data
    if abs(float(verdict["filled"] or 0) - order.volume) > 1e-9:
        return f"filled {verdict['filled']}, truly {order.volume}"
    if verdict.get("price") is not None and abs(float(verdict["price"]) - order.price) > 1e-7:
        return f"price {verdict['price']}, truly {order.price}"
    if (data["symbol"], ("buy", "sell")[data["type"]]) != (verdict["symbol"], verdict["side"]):
        return f"{data['symbol']} {data['type']}, not {verdict['symbol']} {verdict['side']}"
    if verdict.get("order") is not None and verdict["order"] != data["ticket"]:
        return f"order {verdict['order']}, truly {data['ticket']}"
    return "" if data["account"] == 0 else "on another account"


def _needed(verdict: dict[str, Any], own: list[Executed], orders: dict[int, Executed]) -> bool:
    """Whether the lists could not tell: carriers lost, or another order that looks the same."""
    if any(not _lost_its_carriers(order) for order in own):
        return False
    if own:
        return True
    looks = (verdict["symbol"], verdict["side"], float(verdict["volume"]))
    for order in orders.values():
        data = order.data
        same = (data["symbol"], ("buy", "sell")[data["type"]], data["volume"]) == looks
        if same and _lost_its_carriers(order):
            return True
    return False


def _lost_its_carriers(order: Executed) -> bool:
    data = order.data
    kept_comment = len(data["comment"]) >= 15 and data["comment"][:15] == data["comment_sent"][:15]
    return not (kept_comment or (data["magic"] == data["magic_sent"] and data["magic"] != 0))


def read_truth(path: Path) -> Iterator[Event]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        for at, kind, data in db.execute("SELECT at, kind, data FROM truth ORDER BY seq"):
            yield at, kind, json.loads(data)


def main() -> int:
    parser = argparse.ArgumentParser(description="Judges what a client was told by what the broker did.")
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--verdicts", type=Path, required=True)
    asked = parser.parse_args()
    verdicts = [json.loads(line) for line in asked.verdicts.read_text().splitlines() if line]
    findings = judge(read_truth(asked.truth), verdicts)
    print(findings.shown())
    for name, value in vars(findings).items():
        for line in value if isinstance(value, list) else []:
            print(f"{name}: {line}")
    return 0 if findings.clean else 1


if __name__ == "__main__":
    sys.exit(main())
