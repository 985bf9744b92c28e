"""What each module says it offers is there, and what it offers is said."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import retell_ws

PACKAGE = Path(retell_ws.__file__).parent
# Read, not imported: importing all of them would load every vendor's library.
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}
CHECKS = {path for path in MODULES if path.startswith("testing/checks/")} - {
    "testing/checks/__init__.py",
    "testing/checks/asking.py",
}
"""Modules of checks, which their decorator collects."""

FOLDERS = {
    f"{folder}/__init__.py"
    for folder in (
        "commands",
        "models",
        "stores",
        "switchboards",
        "buses",
        "consumers",
        "report",
        "examples",
        "deploy",
        "registration",
        "console",
        "validation",
    )
}
EXAMPLES = {path for path in MODULES if path.startswith("examples/")} - FOLDERS

UNNAMED = CHECKS | FOLDERS | EXAMPLES
"""Modules that offer nothing by name: those, plain folders, and the files `retell_ws new` copies."""


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's own scope, also those under an `if` or `try`."""
    for statement in body:
        yield statement
        match statement:
            case ast.If():
                yield from statements([*statement.body, *statement.orelse])
            case ast.Try():
                yield from statements([*statement.body, *statement.orelse, *statement.finalbody])


def bound(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for statement in statements(module.body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign():
                names |= {
                    one.id for target in statement.targets for one in ast.walk(target) if isinstance(one, ast.Name)
                }
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Import() | ast.ImportFrom():
                names |= {(one.asname or one.name).partition(".")[0] for one in statement.names}
    return names


def offered(module: ast.Module) -> list[str] | None:
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return [str(name) for name in ast.literal_eval(value)]
    return None


def test_the_packages_own_names_are_these() -> None:
    assert retell_ws.__all__ == [
        "Agent",
        "Budget",
        "Cache",
        "Call",
        "Lines",
        "ModelRequest",
        "Prices",
        "Reminders",
        "RetellWsError",
        "ToolError",
        "Transfer",
        "serve",
    ]
    for name in retell_ws.__all__:
        assert getattr(retell_ws, name).__module__.startswith("retell_ws")


@pytest.mark.parametrize("path", sorted(set(MODULES) - UNNAMED))
def test_a_module_has_what_it_offers_and_says_all_it_has(path: str) -> None:
    names = offered(MODULES[path])
    assert names is not None, f"{path} has no __all__"
    assert set(names) <= bound(MODULES[path])
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("_")]
    made = {
        statement.name
        for statement in statements(MODULES[path].body)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert {name for name in made if not name.startswith("_")} <= set(names), "public or private, not in between"


@pytest.mark.parametrize("path", sorted(set(MODULES) - {"examples/receptionist.py"}))
def test_a_module_says_first_what_it_is(path: str) -> None:
    first, *_ = (ast.get_docstring(MODULES[path]) or "").splitlines() or [""]
    assert len(first) > 10
