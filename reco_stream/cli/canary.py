"""`reco canary`: how fresh the answers are, measured from outside."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from reco_stream.cli.exits import EXIT_UNAVAILABLE, readable_errors


def register(app: typer.Typer) -> None:
    """Adds `canary` to the command line."""
    app.command()(canary)


def canary(
    url: Annotated[str | None, typer.Option(help="Any worker; default: that of the settings.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often to measure.")] = 20,
    pause: Annotated[float, typer.Option(min=0.0, help="Seconds between two rounds.")] = 0.2,
) -> None:
    """Measure how long it takes until an event is seen in answers, and print p50 and p99.

    Sends events of users and items that nobody else is shown. own: until the user who looked at an item is
    recommended its neighbour; other: until a pair of items that was never seen together is recommended to other
    people. Workers measure the same by themselves (RECO_CANARY_S) into the histogram reco_freshness_seconds.

    Example: reco canary --rounds 100
    """
    from reco_stream.canary import CanaryFailed, Round, measure
    from reco_stream.settings_loader import load_settings

    if url is None:
        with readable_errors():
            settings = load_settings()
        url = settings.advertised_url or f"http://{settings.web_host}:{settings.web_port}"
    try:
        found: list[Round] = asyncio.run(measure(url.rstrip("/"), "cli", rounds, pause))
    except CanaryFailed as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNAVAILABLE) from None
    typer.echo(f"{'seconds':10}{'p50':>8}{'p99':>8}{'max':>8}   of {rounds} rounds")
    for name, values in (("own", [one.own_s for one in found]), ("other", [one.other_s for one in found])):
        values.sort()
        typer.echo(f"{name:10}{quantile(values, 0.5):8.3f}{quantile(values, 0.99):8.3f}{values[-1]:8.3f}")


def quantile(ascending: list[float], share: float) -> float:
    """Returns the least value that `share` of the values do not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0], 0.99)
    (2.0, 2.0)
    """
    rank = -int(-len(ascending) * share // 1)
    return ascending[max(0, rank - 1)]
