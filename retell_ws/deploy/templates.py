"""Templates of files for other programs: whole but for names and numbers, and for blocks that may be left out.

A template is the file itself, so that it can be read and edited as such. `@name@` stands for a value; lines between
`@if part` or `@unless part` and `@end` are there only with that part, or without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

__all__ = ["fill", "read"]


def read(name: str) -> str:
    """Read a template of this package.

    Args:
        name: Of the file, from this folder on.
    """
    return files(__package__).joinpath(name).read_text("utf-8")


def fill(template: str, values: Mapping[str, str], parts: Mapping[str, bool]) -> str:
    """Write a file.

    Args:
        template: The template.
        values: What is put in place of each `@name@`. It is not read as a template again.
        parts: Which of the blocks are there.

    Raises:
        KeyError: The template names a value or a part that is not given.
    """
    lines = []
    shown = [True]
    for line in template.splitlines(keepends=True):
        match line.split():
            case ["@if", part]:
                shown.append(shown[-1] and parts[part])
            case ["@unless", part]:
                shown.append(shown[-1] and not parts[part])
            case ["@end"]:
                shown.pop()
            case _ if shown[-1]:
                lines.append(line)
    return re.sub("@([a-z_]+)@", lambda found: values[found[1]], "".join(lines))
