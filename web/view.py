"""The base of every view: Faust calls it, it declares its operations, and it answers in JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import faust.web

from web.forward import Forwarder
from web.params import Param
from web.services import Services

_PATH_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Operation:
    """What the OpenAPI document says of one method of a route; errors that any route can give are added there."""

    summary: str
    answers: Mapping[int, type | str]
    """Bodies by status; a str is the media type of a body that is no JSON."""
    query: tuple[Param, ...] = ()
    path: tuple[Param, ...] = ()
    body: Any = None
    description: str = ""
    internal: bool = False
    examples: tuple[str, ...] = field(default=())


class JsonView(faust.web.View):  # type: ignore[misc]  # Faust has no types
    """A Faust view whose methods are those of `operations` (HEAD goes with GET); `register` gives it what it needs."""

    services: ClassVar[Services]
    forwarder: ClassVar[Forwarder]
    operations: ClassVar[Mapping[str, Operation]]
    view_path: ClassVar[str]

    def get_methods(self) -> set[str]:
        """Returns the methods to route; Faust's own list has HEAD for everything."""
        methods = set(self.operations)
        return methods | {"HEAD"} if "GET" in methods else methods


def bound(view: type[JsonView], services: Services, forwarder: Forwarder) -> type[JsonView]:
    """Returns a class of its own for these services, so that two applications in one process do not share any."""
    given = {"services": services, "forwarder": forwarder, "view_name": view.__name__, "__doc__": view.__doc__}
    return type(view.__name__, (view,), given)


def path_parameters(path: str) -> list[str]:
    """Returns the names in a route template.

    >>> path_parameters("/items/{item_id}/similar")
    ['item_id']
    """
    return _PATH_PARAMETER.findall(path)
