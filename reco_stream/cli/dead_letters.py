"""`reco dead-letters list|show|replay`."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from reco_stream.cli.exits import EXIT_CONFIG, readable_errors
from reco_stream.progress import Progress

if TYPE_CHECKING:
    from reco_stream.dead_letter_replay import Report
    from reco_stream.dead_letters import Entry
    from reco_stream.settings import Settings

EXIT_NOT_ALL = 1  # something that was asked for could not be done

dead_letters_app = typer.Typer(no_args_is_help=True, help="Look at refused events and send them again.")

Reason = Annotated[str | None, typer.Option(help="Only those refused for this reason, such as wrong_partition.")]


def register(app: typer.Typer) -> None:
    """Add `dead-letters` to the command line."""
    app.add_typer(dead_letters_app, name="dead-letters")


@dead_letters_app.command("list")
def list_letters(
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were replayed, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """List the refused records, one line each, oldest first.

    On a terminal a table, elsewhere lines with tabs: source, time, reason, state, bytes, message.

    Example: reco dead-letters list --reason wrong_partition
    """
    from reco_stream.dead_letter_replay import read_ledger
    from reco_stream.dead_letters import State

    with _prepared() as settings:
        ledger = asyncio.run(read_ledger(settings))
    found = [
        entry
        for entry in ledger.entries.values()
        if (everything or entry.state is not State.REPLAYED) and reason in (None, entry.reason)
    ]
    _print_entries(found[-limit:])
    typer.echo(_summary(found, min(limit, len(found)), ledger.foreign), err=True)


@dead_letters_app.command()
def show(
    source: Annotated[str, typer.Argument(help="topic/partition/offset of the refused record, as `list` prints it.")],
) -> None:
    """Print one refused record: headers, key and the original bytes of its value.

    Text is printed as it is, other bytes with Python's escapes.

    Example: reco dead-letters show reco.events/3/42
    """
    from reco_stream.dead_letter_replay import read_letter

    with _prepared() as settings:
        letter = asyncio.run(read_letter(settings, source))
    if letter is None:
        typer.echo(f"no dead letter of {source}; `reco dead-letters list --all` lists them", err=True)
        raise typer.Exit(EXIT_NOT_ALL)
    for name, value in letter.headers:
        typer.echo(f"{name}: {printable(value)}")
    typer.echo(f"value: {'null' if letter.value is None else printable(letter.value)}")


@dead_letters_app.command()
def replay(
    sources: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset of refused records; none: all that are listed.")
    ] = None,
    reason: Reason = None,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Replace a missing or wrong key by the user of the body.")
    ] = False,
) -> None:
    """Send refused records to the events topic again, each once, to the partition where its user belongs.

    A record is checked first, as if it arrived now: one that would be refused again stays where it is. What was
    replayed is remembered in the dead-letter topic, so a second run sends nothing twice. Run one replay at a time. Exit
    code 1 when a record is still refused or not there.

    Example: reco dead-letters replay --reason wrong_partition
    """
    from reco_stream.dead_letter_replay import replay as replay_letters

    wanted = set(sources or ())
    seen: set[str] = set()

    def choose(entry: "Entry") -> bool:
        seen.add(entry.source)
        return (not wanted or entry.source in wanted) and reason in (None, entry.reason)

    with _prepared() as settings, ExitStack() as stack:
        bar: list[Progress] = []

        def show_progress(done: int, total: int) -> None:
            if not bar:
                bar.append(stack.enter_context(Progress("replay", total)))
            bar[0].update(done)

        report = asyncio.run(replay_letters(settings, choose, _now_ms, rekey=rekey, progress=show_progress))
    unknown = sorted(wanted - seen)
    _print_report(report, unknown)
    if report.refused or unknown:
        raise typer.Exit(EXIT_NOT_ALL)


def printable(value: bytes) -> str:
    """Return UTF-8 text as it is and other bytes escaped, on one line either way and safe for a terminal.

    >>> printable("é".encode()), printable(bytes([255, 27]))
    ('é', '\\\\xff\\\\x1b')
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return repr(value)[2:-1]
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@contextmanager
def _prepared() -> "Iterator[Settings]":
    """The settings, with every expected error turned into a message and an exit code."""
    from reco_stream.settings_loader import load_settings
    from reco_stream.topics import NoSuchTopic

    with readable_errors():
        settings = load_settings()
    with readable_errors(settings.broker):
        try:
            yield settings
        except NoSuchTopic as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_CONFIG) from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _print_entries(entries: "list[Entry]") -> None:
    rows = [
        (
            entry.source,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.time_ms / 1000)),
            entry.reason,
            entry.state,
            "null" if entry.size is None else str(entry.size),
            printable(entry.message.encode()),
        )
        for entry in entries
    ]
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("source", "time", "reason", "state", "bytes", "message")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: what strangers sent is no markup
    Console().print(table)


def _summary(found: "list[Entry]", shown: int, foreign: int) -> str:
    counts: dict[str, int] = {}
    for entry in found:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    by_reason = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none"
    others = f"; records of others in the topic: {foreign}" if foreign else ""
    return f"refused records: {len(found)} ({by_reason}), shown: {shown}{others}"


def _print_report(report: "Report", unknown: list[str]) -> None:
    before = f", sent by an interrupted run: {report.found}" if report.found else ""
    typer.echo(f"sent again: {report.sent}{before}, still refused: {len(report.refused)}")
    for entry, error in report.refused:
        typer.echo(f"{entry.source} is still refused: {error.reason}: {printable(error.detail.encode())}", err=True)
    for source in unknown:
        typer.echo(f"no dead letter of {source}", err=True)
