"""`reco recommend` and `reco popular`: ask a worker over HTTP, and show the answer as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from reco_stream.cli.exits import EXIT_UNAVAILABLE, readable_errors

EXIT_REFUSED: Final = 65  # sysexits.h: the question is wrong
TIMEOUT_S: Final = 10.0

Url = Annotated[
    str | None,
    typer.Option("--url", help="Any worker; default: RECO_ADVERTISED_URL, else RECO_WEB_HOST and RECO_WEB_PORT."),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many items.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as it came.")]


def register(app: typer.Typer) -> None:
    """Adds `recommend` and `popular` to the command line."""
    app.command("recommend")(recommend)
    app.command("popular")(popular)


def recommend(
    user: Annotated[str, typer.Argument(help="The user_id, or ~session_id for a visitor without an account.")],
    count: Count = 10,
    exclude_seen: Annotated[bool, typer.Option("--exclude-seen", help="Leave out items touched lately.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the parts of each score.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user.

    Example: reco recommend u17 --count 5 --explain
    """
    query = {"user_id": user, "count": str(count)}
    query |= {name: "true" for name, on in (("exclude_seen", exclude_seen), ("explain", explain)) if on}
    answer = _ask(url, "/recommendations", query)
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    items = answer["recommendations"]
    parts = list(items[0].get("parts", ())) if items else []
    rows = [
        [item["item_id"], item.get("title", ""), f"{item['score']:.3f}", item["reason"]]
        + [f"{item['parts'][part]:.3f}" for part in parts]
        for item in items
    ]
    _print_table(f"Recommendations for {user}", ["item", "title", "score", "reason", *parts], rows)
    _echo(f"source {answer['source']}, model {answer['model']}, as of {answer['as_of']}, {answer['took_ms']} ms")
    for note in answer.get("notes", ()):
        _echo(note)


def popular(
    window: Annotated[str, typer.Option("--window", "-w", help="1h, 24h, 7d, 30d or all.")] = "24h",
    category: Annotated[str | None, typer.Option("--category", help="Only items of this category.")] = None,
    count: Count = 10,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the most popular items.

    Example: reco popular --window 7d --category garden
    """
    query = {"window": window, "count": str(count)} | ({"category": category} if category is not None else {})
    answer = _ask(url, "/popular", query)
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    rows = [[item["item_id"], item.get("title", ""), f"{item['score']:g}"] for item in answer["items"]]
    _print_table(f"Popular items, window {window}", ["item", "title", "score"], rows)
    _echo(f"as of {answer['as_of']}")


def _ask(url: str | None, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Returns the worker's answer; ends the command with a message when it refuses (65) or none answers (69)."""
    from urllib.error import HTTPError
    from urllib.parse import urlencode
    from urllib.request import ProxyHandler, build_opener

    base = url or _default_url()
    try:
        # Workers are asked directly: a proxy of the environment would not know 127.0.0.1.
        with build_opener(ProxyHandler({})).open(
            f"{base.rstrip('/')}{path}?{urlencode(query)}", timeout=TIMEOUT_S
        ) as got:
            return dict(json.load(got))
    except HTTPError as error:
        typer.echo(f"{base} refused: {printable(_message(error.read()) or str(error))}", err=True)
        raise typer.Exit(EXIT_REFUSED if error.code < 500 else EXIT_UNAVAILABLE) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        typer.echo(
            f"no worker answers at {base}: {why}. Start one with `reco worker`, or name one with --url.", err=True
        )
        raise typer.Exit(EXIT_UNAVAILABLE) from None


def _default_url() -> str:
    from reco_stream.settings_loader import load_settings

    with readable_errors():
        settings = load_settings()
    return settings.advertised_url or f"http://{settings.web_host}:{settings.web_port}"


def _message(body: bytes) -> str | None:
    """Returns the message of an error body, None when it is something else."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return None


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text, not str: a title like "[red]" is no markup of ours.
    table = Table(*columns, title=Text(printable(title)), title_justify="left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def _echo(line: str) -> None:
    typer.echo(printable(line))


def printable(text: str) -> str:
    r"""Returns `text` with everything that a terminal might obey escaped: ids and titles come from strangers.

    >>> printable("caf\u00e9 \x1b[2J")
    'café \\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
