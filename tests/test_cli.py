"""The command line as a whole: every command is there, and its help shows how to use it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import reco_stream.cli
from reco_stream.cli import MODULES, build


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(path), command
    for name, child in children.items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(build())))


def test_every_module_with_commands_is_registered() -> None:
    folder = Path(reco_stream.cli.__file__).parent
    assert set(MODULES) == {file.stem for file in folder.glob("*.py") if "\ndef register(" in file.read_text()}


def test_the_promised_commands_exist() -> None:
    promised = {"demo", "worker", "generate", "replay", "recommend", "popular", "settings", "topics create"}
    promised |= {"topics check", "kafka start", "kafka stop", "kafka status"}
    promised |= {"dead-letters list", "dead-letters show", "dead-letters replay"}
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_an_example(name: str) -> None:
    text = COMMANDS[name].help or ""
    assert "Example" in text
    assert f"reco {name}" in text


def test_help_answers_without_loading_the_application() -> None:
    """faust and numpy alone take half a second to import."""
    script = """
import sys
from reco_stream.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    heavy = {"faust", "numpy", "aiokafka", "rocksdict", "rich"} & set(sys.modules)
    assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "reco_stream", "--help"], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert name.split()[0] in done.stdout
