"""`reco capacity`: what a load needs."""

from __future__ import annotations

from typing import Annotated

import typer

_UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}


def register(app: typer.Typer) -> None:
    """Add `capacity` to the command line."""
    app.command()(capacity)


def number(text: str) -> float:
    """Returns a positive number that may end in k, M or G.

    >>> number("10M"), number("2.5k"), number("7")
    (10000000.0, 2500.0, 7.0)
    """
    factor = _UNITS.get(text[-1:], 1.0)
    try:
        found = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        found = -1.0
    if not 0 < found < 1e18:
        raise typer.BadParameter(f"{text!r}; wanted: a number above 0, which may end in k, M or G, such as 50k")
    return found


def capacity(
    users: Annotated[str, typer.Option(help="Users that are known at a time.")],
    items: Annotated[str, typer.Option(help="Items that have events.")],
    rate: Annotated[str, typer.Option(help="Events a second at the peak.")],
    queries: Annotated[str, typer.Option(help="Recommendations a second at the peak.")] = "1k",
    memory: Annotated[str, typer.Option(help="Bytes that each worker may use.")] = "16G",
    days: Annotated[str, typer.Option(help="Days that users, items and the log are kept.")] = "30",
    replication: Annotated[int, typer.Option(min=1, max=16, help="Copies of each topic.")] = 3,
) -> None:
    """Estimate workers, partitions, memory, disk and network of a load, and say what is too much for one worker.

    From costs that were measured on two cores; docs/capacity.md says how. Where something is too much, what is printed
    is an estimate of what reco-stream does not have yet: processes that fold, merge and answer, each of a kind.

    Example: reco capacity --users 10M --items 1M --rate 50k
    """
    from reco_stream.capacity import Load, plan

    load = Load(number(users), number(items), number(rate), number(queries), replication, number(days), number(memory))
    found = plan(load)
    rows = {
        "partitions": f"{found.partitions:,}",
        **{f"{kind}, one core each": f"{count:,}" for kind, count in found.processes.items()},
        "parts of the catalogue": f"{found.parts:,}",
        "cores that fold": f"{found.fold_cores:,.1f}",
        "cores that answer": f"{found.query_cores:,.1f}",
        "of each core, to read the others": f"{found.read_cores:,.2f}",
        "memory of each": _gb(found.memory_bytes),
        "disk of the state": _gb(found.state_disk_bytes),
        "disk of Kafka": _gb(found.kafka_disk_bytes),
        "published rows into each": f"{found.network_bytes / 1e6:,.1f} MB/s",
        "network out of Kafka": f"{found.kafka_network_bytes / 1e6:,.1f} MB/s",
    }
    for name, text in rows.items():
        typer.echo(f"{name:34}{text:>20}")
    for what in found.breaks:
        typer.echo(f"too much for workers that know all items: {what}")


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
