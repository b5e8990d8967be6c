"""Makes FX minutes with holes and mistakes: `python3 make_minutes.py > minutes.csv`, for the hours of make_hours.py.

Both changes of New York's clocks, Christmas and New Year, each with the weekend or days around it, every minute of the
clock: the market's hours are for the maker of hours to know.
"""

import random
from datetime import datetime, timedelta

SPANS = (("2017-03-09", 6), ("2017-11-02", 6), ("2017-12-22", 6), ("2017-12-30", 5))
CHANCE = random.Random(10)


def minutes_there():
    """The minutes of one hour that the vendor has."""
    kind = CHANCE.randrange(8)
    if kind == 0:
        return set(range(60 - CHANCE.randrange(8)))
    if kind == 1:
        return set(range(CHANCE.randrange(14), 60))
    if kind == 2:
        return {minute for minute in range(60) if CHANCE.random() > 0.17}
    if kind == 3:
        return set(CHANCE.sample(range(60), CHANCE.randrange(48, 53)))
    return set(range(60))


def line(time, price):
    low, high = price - CHANCE.randrange(9), price + CHANCE.randrange(9)
    prices = [price, high, low, CHANCE.randint(low, high)]
    volume = CHANCE.choice(["", "1", "25", "3"])
    if CHANCE.random() < 0.01:
        prices = CHANCE.choice([[0, 0, 0, 0], [price, low - 1, high + 1, price], [price, high, low, high + 3]])
    cells = [f"{cell / 1e5:.5f}" for cell in prices]
    if CHANCE.random() < 0.01:
        cells[CHANCE.randrange(4)] = ""
    print(f"{time:%Y-%m-%dT%H:%M:%SZ}", *cells, volume, sep=",")


def main():
    print("timestamp,open,high,low,close,volume")
    for day, days in SPANS:
        first = datetime.strptime(day, "%Y-%m-%d")
        for hour in (first + timedelta(hours=at) for at in range(24 * days)):
            for minute in sorted(minutes_there()):
                time, price = hour + timedelta(minutes=minute), CHANCE.randrange(109_000, 111_000)
                line(time, price)
                if CHANCE.random() < 0.01:
                    line(time, price + CHANCE.choice([0, 7]))


main()
