"""A terminal and a broker for tests: a process of its own, whose truth outlives every kill of the gateway."""
