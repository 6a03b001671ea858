"""Showing how far long work has come."""

import io

import pytest

from reco_stream.progress import LINE_EVERY_S, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_there_is_a_line_every_few_seconds() -> None:
    now = 0.0
    out = io.StringIO()
    with Progress("Sending", 200, out, clock=lambda: now) as progress:
        for done in range(100):
            now = done * LINE_EVERY_S / 40
            progress.update(done, f"{done} events")
    assert out.getvalue() == "Sending: 20%, 40 events\nSending: 40%, 80 events\n"


def test_a_line_without_a_note_and_past_the_total() -> None:
    now = 0.0
    out = io.StringIO()
    with Progress("Waiting", 0, out, clock=lambda: now) as progress:
        now = LINE_EVERY_S
        progress.update(7)
    assert out.getvalue() == "Waiting: 100%\n"


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    out = Terminal()
    with Progress("Sending", 10, out) as progress:
        progress.update(5, "half of it")
    assert "Sending" in out.getvalue()
    assert out.getvalue().rstrip("\n").endswith("\x1b[2K")  # the line is erased


def test_an_error_ends_the_bar_and_goes_on() -> None:
    out = Terminal()
    with pytest.raises(ValueError, match="broken"), Progress("Sending", 10, out):
        raise ValueError("broken")
    assert out.getvalue().rstrip("\n").endswith("\x1b[2K")
