"""What goes wrong with each order. A plan follows from the seed and the order's number alone."""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

PASSING = (10004, 10006, 10018, 10020, 10021, 10024, 10028, 10029)
LASTING = (10007, 10013, 10014, 10015, 10016, 10017, 10019, 10022, 10023, 10025, 10026, 10027, 10030, 10033, 10034)
PROVES_NOTHING = (10011, 10012, 10031, 0, 10999)

# Seconds. A factor shortens them, as it shortens the gateway's waits.
LAG_MAX_S = 40.0
LATE_MAX_S = 60.0
AWAY_MAX_S = 40.0
# Far longer than an order needs to be called absent.
PARTIAL_MAX_S = 900.0

PIPE = (
    "kill_before",
    "kill_accepted",
    "kill_executed",
    "hang_before",
    "hang_after",
    "suspend",
    "pipe_before",
    "pipe_after",
)
OUTCOME = (
    "refuse", "requote", "unknown_nothing", "unknown_executed", "placed_fill", "placed_cancel", "partial", "zero", "late",
    "refused_with_ticket", "done_without_ticket",
)  # fmt: skip
COMMENT = ("comment_cut", "comment_cut_short", "comment_tail", "comment_emptied", "comment_replaced")
MAGIC = ("magic_32", "magic_zero")
ALONE = (
    "lag",
    "split",
    "levels_dropped",
    "lookalike",
    "disconnect",
    "account_switch",
    "frozen",
    "offset",
    "broker_stop",
    "partial_lists",
    "reopen",
)
NAMES = (*PIPE, *OUTCOME, *COMMENT, *MAGIC, *ALONE)


@dataclass
class Plan:
    """One order's faults. Times are in seconds, unscaled."""

    pipe: str = ""
    outcome: str = ""
    retcode: int = 0
    comment: str = ""
    magic: str = ""
    late_s: float = 0.0
    suspend_s: float = 0.0
    # How much later than it happens each list shows it.
    lags_s: dict[str, float] = field(default_factory=dict)
    # Whether an order that is not executed yet is in no list.
    hidden: bool = False
    split: bool = False
    levels_dropped: bool = False
    lookalike_s: float | None = None
    disconnect_s: float = 0.0
    empty_s: float = 0.0
    account_switch_s: float = 0.0
    frozen_s: float = 0.0
    offset: bool = False
    broker_stop: bool = False
    # Whether each open position gets another ticket afterwards, as at a swap.
    reopen: bool = False
    # For how long every list ends before an order that the gateway knows.
    partial_s: float = 0.0

    @staticmethod
    def of(said: Mapping[str, Any]) -> "Plan":
        unknown = set(said) - {known.name for known in fields(Plan)}
        if unknown:
            raise ValueError(f"a plan has no {sorted(unknown)}")
        return Plan(**said)

    def shown(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}


MIXTURES: dict[str, dict[str, float]] = {
    "none": {},
    # Everything but what takes the carriers away: each order must be settled without a person.
    "mild": {
        **dict.fromkeys(PIPE, 0.05),
        **dict.fromkeys(OUTCOME, 0.05),
        **dict.fromkeys(("comment_cut", "comment_tail", "comment_emptied"), 0.05),
        **dict.fromkeys(("lag", "split"), 0.15),
        **dict.fromkeys(("lookalike", "disconnect", "account_switch", "frozen", "offset", "broker_stop", "partial_lists"), 0.04),
    },
    "all": {
        **dict.fromkeys(PIPE, 0.05),
        **dict.fromkeys(OUTCOME, 0.05),
        **dict.fromkeys(COMMENT, 0.04),
        **dict.fromkeys(MAGIC, 0.04),
        **dict.fromkeys(("lag", "split"), 0.2),
        **dict.fromkeys(("levels_dropped", "lookalike", "disconnect", "account_switch", "frozen", "offset"), 0.05),
        **dict.fromkeys(("broker_stop", "partial_lists"), 0.05),
    },
}


def rates_of(text: str) -> dict[str, float]:
    """`none`, `mild`, `all`, or `kill_before=0.1,lag=0.5`."""
    if text in MIXTURES:
        return MIXTURES[text]
    rates = {}
    for part in filter(None, text.split(",")):
        name, _, rate = part.partition("=")
        if name not in NAMES:
            raise ValueError(f"there is no fault {name!r}: {', '.join(NAMES)}")
        rates[name] = float(rate or "1")
    return rates


class Faults:
    """Plans by seed, unless a test has laid one ready."""

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        self._seed = seed
        self._rates = rates
        self._ready: list[Plan] = []

    def lay_ready(self, plans: list[dict[str, Any]]) -> None:
        self._ready += [Plan.of(said) for said in plans]

    def plan(self, number: int) -> Plan:
        if self._ready:
            return self._ready.pop(0)
        chance = random.Random(json.dumps([self._seed, number]))
        plan = Plan(
            pipe=self._one(chance, PIPE),
            outcome=self._one(chance, OUTCOME),
            comment=self._one(chance, COMMENT),
            magic=self._one(chance, MAGIC),
        )
        plan.retcode = chance.choice(PROVES_NOTHING if plan.outcome.startswith("unknown") else PASSING + LASTING)
        plan.late_s = chance.uniform(0.1, LATE_MAX_S)
        plan.hidden = chance.random() < 0.5 if self._rates else False
        plan.suspend_s = chance.uniform(1, 100)
        lists = ("orders", "positions", "history_orders", "history_deals")
        lagging = chance.random() < self._rates.get("lag", 0)
        plan.lags_s = {name: chance.uniform(0, LAG_MAX_S) for name in lists} if lagging else {}
        plan.split = chance.random() < self._rates.get("split", 0)
        plan.levels_dropped = chance.random() < self._rates.get("levels_dropped", 0)
        plan.broker_stop = chance.random() < self._rates.get("broker_stop", 0)
        plan.lookalike_s = self._time(chance, "lookalike", LATE_MAX_S) or None
        plan.disconnect_s = self._time(chance, "disconnect", AWAY_MAX_S)
        plan.empty_s = chance.uniform(0, LAG_MAX_S) if plan.disconnect_s else 0.0
        plan.account_switch_s = self._time(chance, "account_switch", AWAY_MAX_S)
        plan.frozen_s = self._time(chance, "frozen", AWAY_MAX_S)
        plan.offset = chance.random() < self._rates.get("offset", 0)
        plan.partial_s = self._time(chance, "partial_lists", PARTIAL_MAX_S)
        plan.reopen = chance.random() < self._rates.get("reopen", 0)
        return plan

    def _one(self, chance: random.Random, names: tuple[str, ...]) -> str:
        drawn = chance.random()
        for name in names:
            drawn -= self._rates.get(name, 0)
            if drawn < 0:
                return name
        return ""

    def _time(self, chance: random.Random, name: str, longest_s: float) -> float:
        drawn, seconds = chance.random(), chance.uniform(0.1, longest_s)
        return seconds if drawn < self._rates.get(name, 0) else 0.0
