"""The settings of this process, loaded from the environment and checked together: all problems are reported at once."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from reco_stream.setting_checks import Problem, cross_checks
from reco_stream.settings import ENV_PREFIX, MASK, OTHER_VARIABLES, Settings, env_name, is_secret

# Kubernetes sets these for every service whose name begins with "reco".
_SERVICE_LINK = re.compile(r"RECO_(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_.+)?)?)")


class SettingsError(ValueError):
    """Settings that cannot be used, with every `Problem` that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems: Final = problems
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        super().__init__(
            "\n".join([f"{count} wrong (`reco settings --markdown` explains all):", *(f"  {p}" for p in problems)])
        )


def load_settings(**arguments: Any) -> Settings:
    """Return the settings of this process, or raise `SettingsError` that lists all problems.

    `arguments` are attributes of `Settings` that come before the environment, such as a command's options.
    """
    problems = [*_unknown_variables(os.environ)]
    wrong: dict[str, Any] = {}
    while True:
        # Fields that are wrong take their defaults in the next round, so that the checks between fields are made too.
        try:
            settings = Settings(**(arguments | wrong))
            break
        except ValidationError as error:
            for part in error.errors(include_url=False):
                field = _field_of(str(part["loc"][0]))
                if field is None or field in wrong:
                    raise
                problems.append(Problem(env_name(field), _found(field, arguments), _wanted(part["msg"])))
                wrong |= dict.fromkeys([field], Settings.model_fields[field].default)
    problems += [problem for problem in cross_checks(settings) if problem.name not in map(env_name, wrong)]
    if problems:
        raise SettingsError(problems)
    return settings


def source(field: str) -> str:
    """Where the attribute `field` of `load_settings()` comes from: "environment" or "default"."""
    return "default" if _environment_value(field) is None else "environment"


def _environment_value(field: str) -> str | None:
    """The text that the environment gives to `field`; letter case of the variable does not matter, as for pydantic."""
    name = env_name(field)
    found = os.environ.get(name) or next((text for key, text in os.environ.items() if key.upper() == name), None)
    return found or None


def _unknown_variables(names: Iterable[str]) -> Iterator[Problem]:
    known = {env_name(field) for field in Settings.model_fields}
    for name in sorted(names):
        if not name.startswith(ENV_PREFIX) or name in known or name in OTHER_VARIABLES or _SERVICE_LINK.fullmatch(name):
            continue
        nearest = get_close_matches(name, known | set(OTHER_VARIABLES), n=1)
        hint = (
            f"{nearest[0]}, or no such variable"
            if nearest
            else "no such variable; `reco settings --markdown` lists all"
        )
        yield Problem(name, "no setting", hint)


def _field_of(location: str) -> str | None:
    """The attribute that pydantic's error location means: attribute name or alias."""
    fields = Settings.model_fields
    return location if location in fields else next((field for field in fields if env_name(field) == location), None)


def _found(field: str, arguments: Mapping[str, Any]) -> str:
    found = arguments[field] if field in arguments else _environment_value(field)
    return MASK if is_secret(field) else repr(found)


def _wanted(message: str) -> str:
    """Pydantic's message in words that go on from "wanted:"."""
    message = message.replace("Path does not point to a file", "the path of an existing file")
    for start in ("Value error, ", "Input should be ", "Input should ", "String should "):
        message = message.removeprefix(start)
    return message
