"""The pieces a page of a report is made of: cards, tables and their cells, lists of colours. No I/O.

What is given as text is escaped here; what is given as a picture, a body or a row is markup already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .style import STYLE

__all__ = ["card", "document", "drawn", "figure", "identity", "key", "plain", "table", "word"]


def card(title: str, body: str, note: str = "", *, is_whole: bool = False, none: str = "No data.") -> str:
    """Write a part of the page.

    Args:
        title: Its heading.
        body: What it shows; empty: nothing.
        note: What is to be known of it.
        is_whole: It takes the whole width.
        none: What is said where there is nothing to show.
    """
    kind = "card whole" if is_whole else "card"
    told = f'<p class="note">{escape(note)}</p>' if note and body else ""
    shown = body or f'<p class="none">{escape(none)}</p>'
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{told}{shown}</section>'


def document(title: str, body: str, *, style: str = "") -> str:
    """Write a whole page: one file that asks nothing of any network.

    Args:
        title: Of the window.
        body: What it shows, as markup.
        style: What the page has beside `style.STYLE`.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, has_sum: bool = False) -> str:
    """Write a table; nothing without rows.

    Args:
        head: Titles of the columns, perhaps all empty; `#` before one says that it has numbers, `-` that a phone can do
            without it.
        rows: Their cells.
        has_sum: The last row is about all others.
    """
    if not rows:
        return ""
    titles = ""
    for title in head:
        kinds = " ".join(kind for kind, mark in (("minor", "-"), ("n", "#")) if mark in title[:2])
        titles += f'<th class="{kinds}" scope="col">{escape(title.lstrip("-#"))}</th>'
    lines = [f"<tr>{''.join(row)}</tr>" for row in rows]
    foot = f"<tfoot>{lines.pop()}</tfoot>" if has_sum and len(lines) > 1 else ""
    top = f"<thead><tr>{titles}</tr></thead>" if any(head) else ""
    body = f"{top}<tbody>{''.join(lines)}</tbody>{foot}"
    return f'<div class="scroll"><table>{body}</table></div>'


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """Write what colours mean.

    Args:
        entries: A word of the style sheet, what it stands for, and a figure, which may be empty.
    """
    told = [
        f'<li class="{escape(colour)}">{escape(what)}{f" <b>{escape(figure)}</b>" if figure else ""}</li>'
        for colour, what, figure in entries
    ]
    return f'<ul class="key">{"".join(told)}</ul>' if told else ""


def word(text: str, colour: str = "") -> str:
    """Write a cell of a word, which may be long.

    Args:
        text: It.
        colour: What stands before it, as a word of the style sheet.
    """
    mark = f'<rect class="{escape(colour)}" width="10" height="10" rx="3"/>'
    dot = f'<svg class="dot" width="10" height="10" aria-hidden="true">{mark}</svg> ' if colour else ""
    broken = escape(text).replace("_", "_<wbr>")  # a name may go on in the next line
    return f'<td class="word">{dot}{broken}</td>'


def plain(text: str, *, is_minor: bool = False) -> str:
    """Write a cell of something by the way."""
    kind = "minor" if is_minor else "plain"
    return f'<td class="{kind}"><small>{escape(text)}</small></td>'


def identity(text: str) -> str:
    """Write a cell of somebody's id."""
    return f'<td class="id">{escape(text)}</td>'


def figure(text: str, *, is_minor: bool = False) -> str:
    """Write a cell of a number."""
    kind = "n minor" if is_minor else "n"
    return f'<td class="{kind}">{escape(text)}</td>'


def drawn(picture: str, *, is_minor: bool = False) -> str:
    """Write a cell of a picture."""
    kind = "wide minor" if is_minor else "wide"
    return f'<td class="{kind}">{picture}</td>'
