"""The campaign on real processes.

`SENTINEL_KILLS=500` is the size for a night, `SENTINEL_SEED` repeats its moments, `SENTINEL_WORLDS` says how many run at once.
"""

import os
import random

from campaign import campaign

AT_ONCE = int(os.environ.get("SENTINEL_WORLDS", "3"))
KILLS = int(os.environ.get("SENTINEL_KILLS", "60"))
SEED = int(os.environ.get("SENTINEL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)


def test_kills_of_gateway_and_terminal_lose_and_double_nothing() -> None:
    findings, figures = campaign(KILLS, SEED, "all", AT_ONCE)
    print(f"\n{figures}")
    assert findings.clean, f"{figures}: {vars(findings)}"
    assert findings.executed >= KILLS // 4
