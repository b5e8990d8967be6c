"""Makes FX hours from the minutes of a CSV file, apart from the node's code: `python3 make_hours.py minutes.csv > hours.csv`.

Plain Python without a time zone database: New York's rule since 2007 is written out here.
"""

import csv
import math
import sys
from datetime import datetime, timedelta, timezone

TICK = 1e-5


def sunday(year, month, nth):
    first = datetime(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (nth - 1))


def new_york(utc):
    """Summer time begins at 07:00 UTC on March's second Sunday and ends at 06:00 UTC on November's first."""
    summer = sunday(utc.year, 3, 2) + timedelta(hours=7) <= utc < sunday(utc.year, 11, 1) + timedelta(hours=6)
    return utc - timedelta(hours=4 if summer else 5)


def is_open(utc):
    local = new_york(utc)
    if (local.month, local.day) in ((12, 25), (1, 1)) and local.hour < 17:
        return False
    if local.weekday() == 5:
        return False
    return local.hour < 17 if local.weekday() == 4 else local.hour >= 17 if local.weekday() == 6 else True


def usable(row):
    try:
        prices = [float(row[name]) for name in ("open", "high", "low", "close")]
    except ValueError:
        return None
    _, high, low, close = prices
    if not all(math.isfinite(p) and p > 0 for p in prices) or high < low:
        return None
    if close > high + TICK or close < low - TICK:
        return None
    return prices, float(row["volume"]) if row["volume"] else None


def main():
    minutes = {}
    with open(sys.argv[1], newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            bar = usable(row)
            if bar:
                minutes[datetime.strptime(row["timestamp"], "%Y-%m-%dT%H:%M:%SZ")] = bar
    print("timestamp,open,high,low,close,volume")
    for hour in sorted({time.replace(minute=0) for time in minutes}):
        market = [time for time in (hour + timedelta(minutes=m) for m in range(60)) if is_open(time)]
        there = [time for time in market if time in minutes]
        if not there or 6 * len(there) < 5 * len(market) or not any(time in minutes for time in market[-5:]):
            continue
        high, low = max(minutes[t][0][1] for t in there), min(minutes[t][0][2] for t in there)
        volume = None
        for time in there:
            if minutes[time][1] is not None:
                volume = (volume or 0.0) + minutes[time][1]
        cells = [minutes[there[0]][0][0], high, low, minutes[there[-1]][0][3], "" if volume is None else volume]
        print(hour.replace(tzinfo=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), *cells, sep=",")


main()
