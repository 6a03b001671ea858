"""Compiles reco_stream/domain/*.cpp when the project is installed: beside their sources, and into the wheel.

`make install` compiles it again after a change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

PACKAGE = "reco_stream.domain"
FOLDER = Path("reco_stream/domain")


def compile_in_place() -> list[str]:
    """Returns the paths of the compiled modules. Raises CompileError when there is no compiler or it refuses."""
    headers = [str(path) for path in FOLDER.glob("*.hpp")]
    options = ["-O3", "-std=c++17"]
    extensions = [
        Extension(f"{PACKAGE}.{path.stem}", [str(path)], language="c++", extra_compile_args=options, depends=headers)
        for path in sorted(FOLDER.glob("*.cpp"))
    ]
    distribution = Distribution({"name": PACKAGE, "ext_modules": extensions, "packages": ["reco_stream"]})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()
    return [str(command.get_ext_filename(extension.name)) for extension in extensions]


class Compile(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls before it makes a wheel, editable or not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and makes the wheel one for this platform and Python."""
        build_data["artifacts"].extend(f"/{path}" for path in compile_in_place())
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
