"""`python -m fake_terminal --socket S --truth DB --seed N --faults all --time-factor 0.01`."""

import argparse
import time
from pathlib import Path

from fake_terminal.broker import Broker
from fake_terminal.faults import MIXTURES, NAMES, Faults, rates_of
from fake_terminal.market import MARGIN_MODES, TRADE_MODES
from fake_terminal.server import Server
from fake_terminal.truth import Truth


def main() -> None:
    parser = argparse.ArgumentParser(description="A terminal and a broker for tests.")
    parser.add_argument("--socket", type=Path, required=True, help="the Unix socket to listen on")
    parser.add_argument("--truth", type=Path, required=True, help="the SQLite file that is only ever appended to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default="none", help=f"{', '.join(MIXTURES)}, or NAME=RATE,… of {', '.join(NAMES)}")
    parser.add_argument("--time-factor", type=float, default=1.0, help="shortens every delay")
    parser.add_argument("--margin-mode", choices=sorted(MARGIN_MODES), default="hedging")
    parser.add_argument("--trade-mode", choices=sorted(TRADE_MODES), default="demo")
    asked = parser.parse_args()
    broker = Broker(
        Truth(asked.truth),
        Faults(asked.seed, rates_of(asked.faults)),
        time.time,
        time.sleep,
        factor=asked.time_factor,
        margin_mode=asked.margin_mode,
        trade_mode=asked.trade_mode,
    )
    server = Server(broker, asked.socket)
    print(f"listening on {asked.socket}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
