"""Writes decimals as the chain does, by Python's own decimal arithmetic: one number per line in, one text per line out.

A line is a decimal text, or `f64 ` and the sixteen hexadecimal digits of a double.
"""

import struct
import sys
from decimal import Decimal


def canonical(line):
    if line.startswith("f64 "):
        line = repr(struct.unpack(">d", bytes.fromhex(line[4:]))[0])
    number = Decimal(line)
    exponent = number.as_tuple().exponent
    # Python's text is that of the General Decimal Arithmetic specification; apd differs from it in zeros alone.
    if not number and -2000 <= exponent < 0:
        return format(number, "f")
    return str(number)


for line in sys.stdin:
    print(canonical(line.rstrip("\n")))
