"""Worlds for tests: a gateway in simulated time, and a directory with a short path for real processes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulated import World


@pytest.fixture
def world() -> Iterator[World]:
    """A gateway that has been connected for two minutes and saw the price move."""
    world = World()
    world.wait(120)
    yield world
    world.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short, because the name of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as path:
        yield Path(path)
