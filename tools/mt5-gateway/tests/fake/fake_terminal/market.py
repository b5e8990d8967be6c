"""Symbols, prices and accounts of the fake broker. A price follows from the time alone."""

import math
from dataclasses import dataclass
from typing import Any

TICK_EVERY_S = 0.5

ACCOUNTS = (
    {"login": 5012345, "server": "Broker-Demo"},
    {"login": 5012399, "server": "Broker-Demo"},
)
MARGIN_MODES = {"netting": 0, "exchange": 1, "hedging": 2}
TRADE_MODES = {"demo": 0, "contest": 1, "real": 2}


@dataclass(frozen=True)
class Market:
    name: str
    digits: int
    base: float
    execution: int
    filling: int
    stops_level: int = 0

    @property
    def point(self) -> float:
        return float(10**-self.digits)

    def bid(self, tick: int) -> float:
        return round(self.base * (1 + 0.001 * math.sin(tick * 0.37)), self.digits)

    def ask(self, tick: int) -> float:
        return round(self.bid(tick) + self.point, self.digits)

    def info(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "digits": self.digits,
            "point": self.point,
            "trade_tick_size": self.point,
            "volume_min": 0.01,
            "volume_step": 0.01,
            "volume_max": 100.0,
            "trade_stops_level": self.stops_level,
            "trade_freeze_level": 0,
            "trade_exemode": self.execution,
            "filling_mode": self.filling,
            "trade_contract_size": 100000.0,
            "trade_mode": 4,
            "visible": True,
            "select": True,
        }


# Market execution with FOK and IOC, with IOC only, exchange execution with neither, instant execution.
MARKETS = {
    market.name: market
    for market in (
        Market("EURUSD", 5, 1.15, 2, 3),
        Market("GBPUSD", 5, 1.31, 2, 2),
        Market("XAUUSD", 2, 4100.0, 3, 0),
        Market("USDJPY", 3, 152.0, 1, 3, stops_level=10),
        Market("NOFILL", 5, 1.0, 2, 0),
    )
}
