"""What the page says to type and to write is what the program takes."""

import re
import textwrap
import tomllib
from pathlib import Path

import pytest

from processes import ROOT
from sentinel_gateway.cli import _parser
from sentinel_gateway.config import Config

PAGE = (ROOT.parent.parent / "docs" / "mt5-gateway.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_every_configuration_of_the_page_is_taken(block: str) -> None:
    config = Config.of(tomllib.loads(textwrap.dedent(block)), Path("C:/sentinel-gateway"))
    assert config.bind.startswith("tcp://")
    assert config.absent_after_s == 300


def test_every_command_of_the_page_is_one() -> None:
    commands = [line.split("sentinel-gateway ", 1)[1] for line in PAGE.splitlines() if "Scripts\\sentinel-gateway " in line]
    assert {command.split()[0] for command in commands} == {"selftest", "run"}
    for command in commands:
        _parser().parse_args(command.split())


def test_every_test_and_variable_of_the_page_exists() -> None:
    files = [*(ROOT / "tests").glob("*.py"), *(ROOT.parent.parent / "tests").rglob("*.rs")]
    tests = "".join(file.read_text(encoding="utf-8") for file in files)
    for variable in set(re.findall(r"SENTINEL_[A-Z_]+", PAGE)):
        assert f'"{variable}"' in tests, variable
    for file in set(re.findall(r"tests/test_\w+\.py", PAGE)):
        assert (ROOT / file).is_file(), file
