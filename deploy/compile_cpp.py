"""Compiles the project's C++ when it is installed: beside the sources, and into the wheel.

`make install` compiles it again after a change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

FOLDERS = ("reco_stream/domain", "reco_stream/engine", "tables")
# No fused multiply-add: rows must have the same bytes on every machine, and as the Python rules make them.
OPTIONS = ["-O3", "-std=c++17", "-ffp-contract=off"]


def compile_in_place() -> list[str]:
    """Returns the paths of the compiled modules. Raises CompileError when there is no compiler or it refuses."""
    headers = [str(path) for folder in FOLDERS for path in Path(folder).glob("*.hpp")]
    extensions = [
        Extension(
            f"{folder.replace('/', '.')}.{path.stem}",
            [str(path)],
            language="c++",
            extra_compile_args=OPTIONS,
            depends=headers,
        )
        for folder in FOLDERS
        for path in sorted(Path(folder).glob("*.cpp"))
    ]
    distribution = Distribution(
        {"name": "reco_stream", "ext_modules": extensions, "packages": ["reco_stream", "tables"]}
    )
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
