"""The folder that a blueprint is written into: what is there, what would change, and the writing itself.

What we wrote is remembered by its hash. A file that still has it is ours to change; any other one is somebody's own,
and is left alone unless they say otherwise.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from typing import Final, Literal

import msgspec

from ..errors import UsageError
from .files import Wanted

__all__ = ["REMEMBERED", "Applied", "Change", "changes", "now_applied", "read_file", "remembered", "write"]

REMEMBERED: Final = ".retell_ws-applied.json"

WHOLE: Final = "kubernetes/"
"""A folder that is handed on as a whole: what is left there of an earlier set-up would be handed on, too."""

LARGEST: Final = 1024 * 1024
"""Bytes of a file that is read: ours are a few thousand."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What was written last, and what was asked for then.

    Attributes:
        wanted: What was asked for; what is not given again stays.
        settings: What was put into the file of settings.
        files: The hash of each file as it was written.
        before: What was asked for before that; None: nothing.
        earlier: What was asked for the last time of each blueprint that was there before, the latest at the end.
        changed: The files that were written for it.
    """

    version: Literal[1] = 1
    wanted: Wanted
    settings: dict[str, str | int | float | bool] = {}
    files: dict[str, str] = {}
    before: Wanted | None = None
    earlier: dict[str, Wanted] = {}
    changed: tuple[str, ...] = ()

    def with_files(self, texts: Mapping[str, str | None]) -> Applied:
        """Remember these files, too, or in another form; one without a text no more."""
        known = {name: known for name, known in self.files.items() if name not in texts}
        return msgspec.structs.replace(
            self, files=known | {name: _hash(text) for name, text in texts.items() if text is not None}
        )


def now_applied(
    applied: Applied | None, wanted: Wanted, settings: Mapping[str, str | int | float | bool], changed: Collection[str]
) -> Applied:
    """Give what is to be remembered, but for the files, once this is written.

    Args:
        applied: What was written last; None: nothing.
        wanted: What is asked for.
        settings: What is put into the file of settings.
        changed: The files that are written.
    """
    if applied is None:
        return Applied(wanted=wanted, settings=dict(settings), changed=tuple(changed))
    is_leaving = bool(wanted.leaving) and wanted.leaving == applied.wanted.leaving
    is_same = applied.wanted == wanted or is_leaving  # then what led here is still to be done, and this as well
    before = applied.before if is_same else applied.wanted
    names = tuple(dict.fromkeys((*applied.changed, *changed))) if is_same else tuple(changed)
    was = applied.wanted
    earlier = applied.earlier
    if was.blueprint != wanted.blueprint:
        earlier = {name: one for name, one in earlier.items() if name != was.blueprint} | {was.blueprint: was}
    return Applied(
        wanted=wanted,
        settings=dict(settings),
        files=applied.files,
        before=before,
        earlier=earlier,
        changed=names,
    )


class Change(msgspec.Struct, frozen=True):
    """One file that is to be another one.

    Attributes:
        name: Its path in the folder.
        before: What is there; None: nothing.
        after: What is to be there; None: nothing.
        is_foreign: Somebody else wrote what is there, or has edited it.
    """

    name: str
    before: str | None
    after: str | None
    is_foreign: bool

    def diff(self) -> Iterator[str]:
        """Give the change as a unified diff, line by line."""
        (source, before), (target, after) = (
            ("/dev/null", []) if text is None else (self.name, text.splitlines()) for text in (self.before, self.after)
        )
        yield from unified_diff(before, after, source, target, lineterm="")


def read_file(folder: Path, name: str) -> str | None:
    """Read a file of the folder; None when it is not there.

    Raises:
        UsageError: It is no plain file, or cannot be read, or a folder on the way to it leads elsewhere.
    """
    path = folder / name
    for part in [*reversed(path.relative_to(folder).parents[:-1]), path.relative_to(folder)]:
        if (folder / part).is_symlink():
            raise UsageError(f"{folder / part} is a link: what is written through it would land elsewhere")
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is no file")
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if len(data) > LARGEST or (data and not text):
        raise UsageError(f"{path} is no text of ours: move it away")
    return text


def _at_once(path: str, flags: int) -> int:
    """Open a file without waiting for anybody, as a named pipe would have us do."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def remembered(folder: Path) -> Applied | None:
    """Read what was written last; None when nothing was.

    Raises:
        UsageError: It cannot be read.
    """
    text = read_file(folder, REMEMBERED)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Applied)
    except (msgspec.MsgspecError, ValueError, UsageError):  # the last would speak of an option that nobody gave
        raise UsageError(f"{folder / REMEMBERED} is not what we wrote: delete it, and name all options again") from None


def changes(folder: Path, texts: Mapping[str, str], applied: Applied | None) -> list[Change]:
    """Find what would change: files that are to be there, and in `WHOLE` those of ours that are not to be any more.

    Args:
        folder: The folder; it need not be there.
        texts: The files as they are to be, by their path in it.
        applied: What was written last.

    Raises:
        UsageError: One is no plain file, or cannot be read.
    """
    known = {} if applied is None else applied.files
    found = []
    for name, after in texts.items():
        before = read_file(folder, name)
        if before != after:
            found.append(Change(name, before, after, before is not None and known.get(name) != _hash(before)))
    if any(name.startswith(WHOLE) for name in texts):
        left = {name: read_file(folder, name) for name in sorted(known.keys() - texts.keys()) if name.startswith(WHOLE)}
        found += [
            Change(name, before, None, known[name] != _hash(before))
            for name, before in left.items()
            if before is not None
        ]
    return found


def write(folder: Path, texts: Mapping[str, str | None], applied: Applied) -> None:
    """Write files, each as a whole or not at all, remove those without a text, and then write what is remembered.

    Args:
        folder: The folder; made when it is not there.
        texts: The files to write, by their path in it.
        applied: What is remembered.

    Raises:
        UsageError: One cannot be written.
    """
    remembers = msgspec.json.format(msgspec.json.encode(applied), indent=2).decode() + "\n"
    for name, text in {**texts, REMEMBERED: remembers}.items():
        try:
            if text is None:
                (folder / name).unlink(missing_ok=True)
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _replace(folder / name, text, mode=0o600 if name == REMEMBERED else None)
        except OSError as exc:
            raise UsageError(f"cannot write {folder / name}: {exc.strerror}") from None


def _replace(path: Path, text: str, *, mode: int | None = None) -> None:
    """Put a file in the place of another one: with its rights, if none are given, and its owner as far as we may."""
    was: os.stat_result | None = None
    with suppress(FileNotFoundError):
        was = path.lstat()
    handle, name = tempfile.mkstemp(prefix=".retell_ws-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if was is not None:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), was.st_uid, was.st_gid)
            os.fchmod(file.fileno(), mode or (0o644 if was is None else stat.S_IMODE(was.st_mode)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
