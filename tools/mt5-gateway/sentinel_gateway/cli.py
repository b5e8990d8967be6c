"""`sentinel-gateway run|serve|selftest`."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from sentinel_gateway import VERSION
from sentinel_gateway.config import BadConfig, Config
from sentinel_gateway.ledger import LedgerBusy
from sentinel_gateway.log import Log
from sentinel_gateway.run import BAD_CONFIG
from sentinel_gateway.waits import Waits


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        if asked.time_factor != 1 and sys.platform == "win32":
            raise BadConfig("the time factor is for tests without a terminal: beside one the waits are part of the proof")
        config = Config.read(asked.config)
        if asked.command == "serve":
            from sentinel_gateway.serve import serve

            return serve(config, asked.time_factor, asked.announce, asked.with_parent)
        if asked.command == "run":
            from sentinel_gateway.run import command_of, run

            more = ["--config", str(asked.config), "--time-factor", str(asked.time_factor)]
            waits = Waits.scaled(asked.time_factor, config.absent_after_s)
            return run(command_of(more), waits, Log(config.state / "log-of-run"))
        from sentinel_gateway.selftest import selftest

        return selftest(config, asked.config, asked.symbol, asked.kills, asked.time_factor)
    except KeyboardInterrupt:
        return 130
    except BadConfig as error:
        print(f"sentinel-gateway: {error}", file=sys.stderr)
        return BAD_CONFIG
    except LedgerBusy as error:
        print(f"sentinel-gateway: {error}", file=sys.stderr)
        return 75
    except sqlite3.Error as error:
        print(f"sentinel-gateway: the ledger cannot be used: {error}", file=sys.stderr)
        return 74


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sentinel-gateway", description="A trade gateway beside MetaTrader 5.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, default=Path("gateway.toml"), help="the configuration file")
    shared.add_argument(
        "--time-factor",
        type=float,
        default=float(os.environ.get("SENTINEL_GATEWAY_TIME_FACTOR", "1")),
        help="for tests only: shortens every wait, 0.01 to a hundredth",
    )
    commands.add_parser("run", parents=[shared], help="serve, and start again whatever ends it")
    serve = commands.add_parser("serve", parents=[shared], help="serve once, in this process")
    serve.add_argument("--announce", action="store_true", help="write each call's limit to stdout")
    serve.add_argument("--with-parent", action="store_true", help="end when stdin ends")
    selftest = commands.add_parser("selftest", parents=[shared], help="trade on a demo account and say what holds")
    selftest.add_argument("--symbol", default="EURUSD")
    selftest.add_argument("--kills", type=int, default=10, help="how often a gateway is killed inside order_send")
    return parser
