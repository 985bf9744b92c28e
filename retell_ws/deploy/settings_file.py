"""Edits a file of settings line by line: what somebody wrote into it stays, comments and all. No I/O.

The file is flat TOML, a key a statement. What a blueprint wants is put there; what its owner chose wins, unless it
contradicts the blueprint. A statement that has to go is commented out, with the reason, and never deleted, unless we
wrote it ourselves.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, get_args, get_type_hints

import msgspec
from msgspec import Meta

from ..errors import SettingsError
from ..settings import Settings

__all__ = ["Merged", "Value", "lines_of", "merged", "put_back", "read_settings"]

Value: TypeAlias = str | int | float | bool

WIDTH: Final = 120

_LEFT_OUT: Final = "# Left out: "
"""What the line before a statement that was commented out begins with; the reason follows."""


class Merged(NamedTuple):
    """A file of settings after an edit.

    Attributes:
        text: The file.
        kept: Settings that the owner chose otherwise than the blueprint would, and that stay, with the owner's value.
        changed: Settings of the owner's that had to get another value, with that one.
        left_out: Settings of the owner's that were commented out, with the reason.
    """

    text: str
    kept: dict[str, Value]
    changed: dict[str, Value]
    left_out: dict[str, str]


def read_settings(text: str, name: str) -> dict[str, Any]:
    """Read a file of settings.

    Args:
        text: The file.
        name: Of the file, for the error.

    Raises:
        SettingsError: It is no TOML, or holds a table: there are none in settings.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{name} is no TOML: {exc}") from None
    except RecursionError:
        raise SettingsError(f"{name} is no TOML: it is nested too deep") from None
    for key, value in found.items():
        if isinstance(value, dict | list):
            raise SettingsError(f"{name}: {key} is no setting: each is one value")
    return found


def merged(
    text: str,
    wanted: Mapping[str, Value],
    *,
    written: Mapping[str, Value],
    must: frozenset[str],
    barred: Mapping[str, str],
    name: str = "the file of settings",
) -> Merged:
    """Bring a file of settings to what a blueprint wants.

    Args:
        text: The file as it is; empty when there is none.
        wanted: What the blueprint wants.
        written: What an earlier edit has put there: as long as it stands, it is not the owner's.
        must: Those of `wanted` that the owner cannot choose otherwise.
        barred: Settings that contradict the blueprint, with the reason.
        name: Of the file, for the error.

    Raises:
        SettingsError: As `read_settings`.
    """
    now = read_settings(text, name)
    ours = {key for key, value in now.items() if key in written and _same(value, written[key])}
    kept: dict[str, Value] = {}
    changed: dict[str, Value] = {}
    left_out: dict[str, str] = {}
    lines: list[str] = []
    for statement in _statements(text):
        key = next(iter(tomllib.loads(statement)), None)
        if key is None:
            lines.append(statement)
        elif key in wanted and _same(now[key], wanted[key]):
            lines.append(statement)
        elif key in wanted and (key in ours or key in must):
            if key not in ours:
                changed[key] = wanted[key]
            lines.append(f"{_statement(key, wanted[key])}{_trailing(statement)}\n")
        elif key in wanted:
            kept[key] = now[key]
            lines.append(statement)
        elif key in ours:
            _forget_comment(lines, key)
        elif key in barred:
            left_out[key] = barred[key]
            lines.append(f"{_LEFT_OUT}{barred[key]}.\n{textwrap.indent(statement.rstrip(), '# ')}\n")
        else:
            lines.append(statement)
    edited = "".join(lines)
    added = [f"{_comment(key)}{_statement(key, value)}\n" for key, value in wanted.items() if key not in now]
    if added and edited:
        edited = edited.rstrip("\n") + "\n\n"
    edited += "\n".join(added)
    if text and text.count("\r\n") == text.count("\n"):
        edited = edited.replace("\n", "\r\n")  # the owner's way to end lines
    return Merged(edited, kept, changed, left_out)


def put_back(text: str, keys: Collection[str]) -> str:
    """Put statements back that `merged` has commented out; those whose key stands there again stay as they are.

    Args:
        text: A file that is TOML.
        keys: Of the statements that may come back.
    """
    there = set(tomllib.loads(text))
    lines: list[str] = []
    rest = re.findall(r"[^\n]*\n|[^\n]+", text)
    while rest:
        if rest[0].startswith(_LEFT_OUT) and (found := _commented_out(rest[1:])):
            key, statement = found
            if key in keys and key not in there:
                there.add(key)
                lines += statement
                del rest[: 1 + len(statement)]
                continue
        lines.append(rest.pop(0))
    return "".join(lines)


def _commented_out(lines: list[str]) -> tuple[str, list[str]] | None:
    """Read the statement that the first of some lines are, as comments: its key, and its lines as they were."""
    statement: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("# "):  # of a text, blank lines were left as they are
            break
        statement.append(line.removeprefix("# "))
        try:
            found = tomllib.loads("".join(statement))
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        return (next(iter(found)), statement) if found else None
    return None


def lines_of(text: str, keys: Collection[str]) -> frozenset[str]:
    """Give the lines of the statements of some keys, without blanks around them.

    Args:
        text: A file that is TOML.
        keys: The keys.
    """
    found = [statement for statement in _statements(text) if not tomllib.loads(statement).keys().isdisjoint(keys)]
    return frozenset(line.strip() for statement in found for line in statement.splitlines() if line.strip())


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other  # for Python 1 is True


def _statements(text: str) -> list[str]:
    """Split a file that is TOML into statements, each with its line ends: blank lines and comments are some, too."""
    found, rest = [], ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text.replace("\r\n", "\n")):
        rest += line
        try:
            tomllib.loads(rest)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        found.append(rest if rest.endswith("\n") else f"{rest}\n")
        rest = ""
    if rest:
        raise AssertionError("a file that is TOML ends with a statement")
    return found


def _trailing(statement: str) -> str:
    """Give the comment behind a value, with the blanks before it."""
    line = statement.rstrip("\n")
    at = line.find("#")
    while at >= 0:
        before = line[:at]
        try:
            tomllib.loads(before)
        except tomllib.TOMLDecodeError:  # the mark stands in a text
            at = line.find("#", at + 1)
        else:
            return f"{before[len(before.rstrip()) :]}{line[at:]}"
    return ""


def _statement(key: str, value: Value) -> str:
    return f"{key} = {msgspec.json.encode(value).decode()}"  # one value of JSON is one of TOML


def _comment(key: str) -> str:
    hint = get_type_hints(Settings, include_extras=True)[key]
    about = next(meta.description for meta in get_args(hint) if isinstance(meta, Meta) and meta.description)
    return "".join(f"# {line}\n" for line in textwrap.wrap(about, WIDTH - 2, break_on_hyphens=False))


def _forget_comment(lines: list[str], key: str) -> None:
    """Take the comment that we wrote before a statement away with it."""
    comment = _comment(key).splitlines(keepends=True)
    if lines[-len(comment) :] == comment:
        del lines[-len(comment) :]
        if lines[-1:] == ["\n"]:
            lines.pop()
