"""The `reco` command: one module a command group, each with `register(app)`.

Modules import what is heavy inside their functions, so that `reco --help` answers at once.
"""

from importlib import import_module

import typer

# In the order of `reco --help`.
MODULES = (
    "demo",
    "worker",
    "kafka",
    "topics",
    "generate",
    "replay",
    "recommend",
    "canary",
    "capacity",
    "items",
    "db",
    "archive",
    "settings",
    "dead_letters",
    "rebuild",
    "verify",
    "evaluate",
)


def build() -> typer.Typer:
    """The command line with every command."""
    app = typer.Typer(
        name="reco",
        help="Real-time recommendations from a Kafka event stream.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # plain help wraps paragraphs to the terminal and needs no import of rich
        pretty_exceptions_enable=False,
    )
    for name in MODULES:
        try:
            module = import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as missing:
            if missing.name != f"{__name__}.{name}":
                raise
            continue
        module.register(app)
    return app


def main() -> None:
    """Runs the command line; the entry point of `reco` and of `python -m reco_stream`."""
    build()()
