"""Compiles reco_stream/domain/scoring.cpp when the project is installed: beside its source, and into the wheel.

`make install` compiles it again after a change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

MODULE = "reco_stream.domain.scoring"
SOURCE = "reco_stream/domain/scoring.cpp"


def compile_in_place() -> str:
    """Returns the path of the compiled module. Raises CompileError when there is no compiler or it refuses."""
    headers = [str(path) for path in Path(SOURCE).parent.glob("*.hpp")]
    options = ["-O3", "-std=c++17"]
    extension = Extension(MODULE, [SOURCE], language="c++", extra_compile_args=options, depends=headers)
    distribution = Distribution({"name": MODULE, "ext_modules": [extension], "packages": ["reco_stream"]})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()
    return str(command.get_ext_filename(MODULE))


class Compile(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls before it makes a wheel, editable or not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and makes the wheel one for this platform and Python."""
        build_data["artifacts"].append(f"/{compile_in_place()}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
