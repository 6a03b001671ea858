"""The rules of the house: what may import what, how long a file may be, and that every test mirrors a module."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("reco_stream", "agents", "tables", "web")
MAX_LINES = 400
LONG_FILES = {"tests/model/simulation.py"}  # one scheduler: every step and fault that it may choose
MAX_FUNCTION_LINES = 40

# From top to bottom: a module imports from its own layer and from those below. The longest matching prefix counts;
# modules that no prefix matches are `application`.
LAYERS = ("cli", "application", "interface", "tables", "engine", "contract", "domain")
LAYER_OF = {
    "reco_stream.__main__": "cli",
    "reco_stream.cli": "cli",
    "web": "interface",
    "agents": "interface",
    "tables": "tables",
    "reco_stream.engine": "engine",
    "reco_stream.events": "contract",
    "reco_stream.catalogue": "contract",
    "reco_stream.catalogue_settings": "contract",
    "reco_stream.settings": "contract",
    "reco_stream.setting_values": "contract",
    "reco_stream.setting_checks": "contract",
    "reco_stream.metrics": "contract",
    "reco_stream.domain": "domain",
}

# Domain code is a function of its arguments: no framework, no storage, no network, no clock.
PURE = ("reco_stream.domain",)
IMPURE = {"faust", "mode", "aiokafka", "rocksdict", "aiohttp", "asyncpg", "time", "asyncio", "socket", "threading"}

# Tests that look at files of the repository instead of one module.
TESTS_OF_FILES = {
    "tests/test_house.py": ".",
    "tests/test_doctests.py": ".",
    "tests/engine/test_under_faust.py": "reco_stream/engine",
    "tests/engine/test_seams.py": "reco_stream/engine",
    "tests/engine/test_forgotten_claims.py": "reco_stream/engine",
    "tests/engine/test_fenced_owner.py": "reco_stream/engine/engine.py",
    "tests/engine/test_partition_end.py": "reco_stream/engine/partition.py",
    "tests/engine/test_fakes.py": "tests/engine/fakes.py",
    "tests/domain/test_compact.py": "reco_stream/domain/compact.cpp",
    "tests/domain/test_scoring.py": "reco_stream/domain/scoring.cpp",
    "tests/engine/test_record_batch.py": "reco_stream/engine/record_batch.cpp",
    "tests/engine/test_sent_rows.py": "reco_stream/engine/sent_rows.cpp",
    "tests/tables/test_compiled_fold.py": "tables/compiled_fold.cpp",
    "tests/tables/test_event_reader.py": "tables/event_reader.hpp",
    "tests/tables/test_published_rows.py": "tables/published_rows.cpp",
    "tests/tables/test_contract.py": "tables",
    "tests/tables/test_fingerprint.py": "tables/__init__.py",
    "tests/web/test_http_api_page.py": "docs/http-api.md",
    "tests/deploy/test_compose.py": "docker-compose.yml",
    "tests/deploy/test_dockerfile.py": "Dockerfile",
    "tests/deploy/test_lock.py": "requirements.lock",
    "tests/deploy/test_procfile.py": "Procfile",
    "tests/deploy/test_venv.py": "deploy/venv.sh",
}


def name_of(file: Path) -> str:
    """`reco_stream/events.py` is `reco_stream.events`, a package's `__init__.py` is the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


MODULES = {name_of(file): file for file in python_files(*PACKAGES)}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(module: str) -> set[str]:
    """Full names of what a module imports, in functions and for types only as well."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    pending: list[ast.AST] = [tree_of(file)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            # `from package import module` and `from module import name` look alike.
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
        pending += ast.iter_child_nodes(node)
    return found


def layer_of(module: str) -> str:
    prefixes = [prefix for prefix in LAYER_OF if module == prefix or module.startswith(f"{prefix}.")]
    return LAYER_OF[max(prefixes, key=len)] if prefixes else "application"


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(PURE)])
def test_domain_code_is_pure(module: str) -> None:
    assert {name.partition(".")[0] for name in imports(module)} & IMPURE == set()
    outside = {name for name in imports(module) if name.split(".")[0] in PACKAGES and not name.startswith(PURE)}
    assert outside == set()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own = LAYERS.index(layer_of(module))
    up = {name for name in imports(module) if name in MODULES and LAYERS.index(layer_of(name)) < own}
    assert up == set(), f"{module} ({LAYERS[own]}) must not import from above"


def test_no_module_imports_itself_through_others() -> None:
    """A circle is shown from the first module back to it."""
    below = {module: sorted(name for name in imports(module) if name in MODULES) for module in MODULES}
    done: set[str] = set()

    def walk(path: list[str]) -> None:
        if path[-1] in done:
            return
        for name in below[path[-1]]:
            assert name not in path, " -> ".join([*path[path.index(name) :], name])
            walk([*path, name])
        done.add(path[-1])

    for module in MODULES:
        walk([module])


def test_everything_that_is_imported_is_declared() -> None:
    """Or it would work only as long as somebody else needs it too."""
    declared = (ROOT / "pyproject.toml").read_text().replace("-", "_").lower()
    parts_of = {"mode": "faust_streaming", "yarl": "aiohttp", "annotated_types": "pydantic_settings"}
    known = {"faust": "faust_streaming", "yaml": "pyyaml", **parts_of}
    found = {name.partition(".")[0] for module in MODULES for name in imports(module)}
    others = found - set(PACKAGES) - set(sys.stdlib_module_names) - {"__future__"}
    missing = {name for name in others if f'"{known.get(name, name).lower()}' not in declared}
    assert missing == set()


@pytest.mark.parametrize(
    "file", python_files(*PACKAGES, "tests", "benchmarks"), ids=lambda file: str(file.relative_to(ROOT))
)
def test_files_and_functions_are_short(file: Path) -> None:
    if file.relative_to(ROOT).as_posix() not in LONG_FILES:
        assert len(file.read_text().splitlines()) < MAX_LINES
    functions = [node for node in ast.walk(tree_of(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: body_lines(node) for node in functions if body_lines(node) > MAX_FUNCTION_LINES} == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines after the signature and the docstring: those of a command are its help."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("file", python_files("tests"), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_test_mirrors_a_module(file: Path) -> None:
    """tests/engine/test_store.py tests reco_stream/engine/store.py, tests/web/test_items.py tests web/items.py."""
    path = file.relative_to(ROOT)
    if not file.name.startswith("test_"):
        return  # what tests share
    if str(path) in TESTS_OF_FILES:
        assert (ROOT / TESTS_OF_FILES[str(path)]).exists()
        return
    if path.parts[1] == "docs":
        assert (ROOT / "docs" / f"{file.stem.removeprefix('test_')}.md").exists()
        return
    if path.parts[1] in ("fault", "model"):
        return  # these go through everything
    mirrored = [*path.parts[1:-1], file.stem.removeprefix("test_")]
    candidates = [".".join(["reco_stream", *mirrored]), ".".join(mirrored)]
    assert any(candidate in MODULES for candidate in candidates), f"no module for {path}"


def test_tests_are_neither_skipped_nor_expected_to_fail() -> None:
    forbidden = ("pytest.mark.skip", "pytest.mark.xfail", "pytest.skip", "pytest.xfail", "pytest.importorskip")
    for file in python_files("tests"):
        used = {ast.unparse(node) for node in ast.walk(tree_of(file)) if isinstance(node, ast.Attribute)}
        assert used & set(forbidden) == set(), file


def test_nothing_is_left_for_later() -> None:
    markers = ("TODO", "FIXME", "NotImplementedError")  # in halves, as this file is searched by people too
    for file in python_files(*PACKAGES):
        text = file.read_text()
        assert not any(marker in text for marker in markers), file
