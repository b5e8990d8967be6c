"""The reference trade gateway: one MetaTrader 5 terminal, one account, one ledger, protocol `sentinel/1`."""

VERSION = "1.0.0"
