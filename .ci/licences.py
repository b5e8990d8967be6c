#!/usr/bin/env python3
"""Every crate that is linked into the node has a licence that a closed or open product may ship with.

Reads `cargo metadata --format-version 1` from standard input. Names crates that come in several versions as well; those
cost build time and are no failure.
"""

import collections
import json
import re
import sys

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def is_allowed(expression):
    """Whether an SPDX expression can be satisfied by allowed licences alone. `A/B` is the old form of `A OR B`."""
    words = re.findall(r"\(|\)|\bAND\b|\bOR\b|[^()\s/]+(?: WITH \S+)?", expression.replace("/", " OR "))
    verdicts = [w if w in ("(", ")") else {"AND": " and ", "OR": " or "}.get(w, str(w in ALLOWED)) for w in words]
    return bool(eval("".join(verdicts), {"__builtins__": {}}))  # only ever ( ) and, or, True, False


def main():
    packages = json.load(sys.stdin)["packages"]
    refused = []
    for package in packages:
        licence = package["license"]
        if not licence or not is_allowed(licence):
            refused.append(f"  {package['name']} {package['version']}: {licence or 'no licence'}")
    counts = collections.Counter(package["name"] for package in packages)
    several = sorted(name for name, count in counts.items() if count > 1)
    print(f"{len(packages)} crates; in several versions: {', '.join(several) or 'none'}")
    if refused:
        sys.exit("licences that are not on the list in .ci/licences.py:\n" + "\n".join(refused))


main()
