"""What in a model's text is for the eye or for a program: the patterns that `ear` looks for. Pure.

A rule that looks ahead has two patterns: the whole of what it looks for, and `..._BEGUN`, every beginning of it at
which the text may stop. While only the beginning matches, the tail must wait; once neither does, it is ordinary text.
No pattern tries one character more often than `ear.MAX_HELD` allows it to look ahead.
"""

from __future__ import annotations

import re

__all__ = [
    "ADDRESS", "ADDRESS_BEGUN", "ADDRESS_BODY", "ADDRESS_IN_ANGLES", "ADDRESS_MARKS", "CODE", "CODE_BEGUN",
    "COMMENT_END", "DASHES", "DASHES_BEGUN", "EMOJI", "FENCE_END", "JOINER", "JSON", "JSON_BEGUN", "JSON_MARK",
    "KEYCAP", "LEAK", "LEAK_END", "LINE_MARK", "LINE_MARK_BEGUN", "LONGEST_END", "MOST_ADDRESS_MARKS", "RUNS",
    "SPECIAL", "SUSPECT", "TAG", "TAG_BEGUN", "TARGET", "TARGET_BEGUN", "TICKS", "TILDES_END", "UNDERSCORES",
]  # fmt: skip

# ---------------------------------------------------------------------------- inside a line

# Emoji as Unicode lists them, with what only joins or colours them. Not ©, ® and ™, nor digits.
_EMOJI = (
    "\u203c\u2049\u20e3\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u24c2\u25aa\u25ab\u25b6"
    "\u25c0\u25fb-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299"
    "\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f"
)
EMOJI = re.compile(f"[{_EMOJI}]")

JOINER = "\u200d"
"""It joins emoji; in Arabic and Indic words it is spelling."""

KEYCAP = "\ufe0f\u20e3"
"""What makes a key of a digit, # or *."""

_SPECIAL = rf"\n\r*_~`#\[\]{{}}<|•{JOINER}{_EMOJI}"

SPECIAL = re.compile(
    rf"[{_SPECIAL}]|!(?=\[|\Z)|(?<![A-Za-z0-9@.\-])(?:[hH](?=[tT]|\Z)|[wW](?=[wW]|\Z))",
)
"""A character that may be something else than text."""

SUSPECT = re.compile(
    rf"[\thHwW!{_SPECIAL}](?:(?<![hHwW!])"
    r"|(?=[tTwW]|\Z)(?:(?<= !)\Z"
    r"|(?<=[hHwW])(?<![A-Za-z0-9@.\-][hHwW])(?:[tT][tT][pP]|[tT]{0,2}\Z|(?<=[wW])[wW])))"
)
"""Whether a piece of prose holds anything `SPECIAL`, or a tab. It may be wrong about its first and last word only.

It begins with one set of characters, for which the engine has a fast search, and only then tells them apart.
"""

_AFTER_CODE = r"""[\s.,;:!?…)\]"'”’]"""

CODE = re.compile(
    rf"""\*(?:[0-9#]|\*(?=[0-9#])){{1,32}}(?={_AFTER_CODE})"""
    r"""(?=[^*\r\n]{32}|[^*\r\n]{0,31}(?:[\r\n]|(?<=[\s(\["'“‘])\*))"""
)
"""A code to dial, such as *67: near it on its line comes no star that would make it the beginning of emphasis."""

CODE_BEGUN = re.compile(rf"\*[0-9#*]{{0,32}}(?:{_AFTER_CODE}[^*\r\n]{{0,31}})?\Z")

UNDERSCORES = re.compile("_{1,3}")
TICKS = re.compile("`{1,3}")
RUNS = {mark: re.compile(f"{re.escape(mark)}+") for mark in "*_~`#-="}
"""Marks of which a longer run means no more than a short one."""

# ---------------------------------------------------------------------------- lines

LINE_MARK = re.compile(
    r"(?P<space>[ \t]+)|(?P<heading>##|#(?=[ \t\r\n]))|(?P<rule>---|===)|(?P<quote>>)|(?P<row>\|)|(?P<fence>~~~)"
    r"|(?P<bullet>[•◦‣●○]|[-+*–—·](?=[ \t\r\n])|\[[ xX]\](?=[ \t]))"
    rf"|(?P<number>(?P<count>\d{{1,3}})[.)](?=[ \t])|\d{KEYCAP[0]}?{KEYCAP[1]})"
)
"""A mark at the start of a line, or the spaces before it."""

LINE_MARK_BEGUN = re.compile(
    rf"(?:#|-{{1,2}}|={{1,2}}|~{{1,2}}|[+*–—·]|\[(?:[ xX]\]?)?|\d{{1,3}}[.)]?|\d{KEYCAP[0]})\Z"
)

DASHES = re.compile(r"[ \t]*:?-+:?[ \t]*(?=[|\r\n])")
"""A cell of the line below a table's head."""

DASHES_BEGUN = re.compile(r"[ \t]*:?-*:?[ \t]*\Z")

# ---------------------------------------------------------------------------- links

ADDRESS = re.compile(r"(?:https?://|www\.)[a-z0-9À-ɏ]", re.IGNORECASE)
ADDRESS_BEGUN = re.compile(r"(?:h(?:t(?:t(?:ps?(?::/{0,2})?)?)?)?|w(?:w(?:w\.?)?)?)\Z", re.IGNORECASE)
ADDRESS_BODY = re.compile(r"[A-Za-z0-9À-ɏ/#$%&+=@\\^\-]+")

MOST_ADDRESS_MARKS = 8

ADDRESS_MARKS = re.compile(rf"[.,;:!?'\"()*_~`]{{1,{MOST_ADDRESS_MARKS}}}")
"""Part of an address when it goes on after them, else the sentence's own."""

ADDRESS_IN_ANGLES = re.compile(r"<(?:https?://|www\.)", re.IGNORECASE)

_BARE = r"[^\s()<>]*"
TARGET = re.compile(rf"""\]\(\s*<?{_BARE}(?:\({_BARE}\){_BARE})*>?(?:\s+(?:"[^"\n]*"|'[^'\n]*'))?\s*\)""")
"""The target of a link, from the end of its text."""

TARGET_BEGUN = re.compile(
    rf"""\](?:\(\s*<?{_BARE}(?:\({_BARE}\){_BARE})*(?:\({_BARE})?>?(?:\s+(?:"[^"\n]*"?|'[^'\n]*'?)?)?\s*)?\Z"""
)

# ---------------------------------------------------------------------------- leaks and tags

JSON = re.compile(r"""(?:\[\s*)?\{\s*(?P<quote>["'])(?:(?!(?P=quote)).){1,64}(?P=quote)\s*:""")
"""An object with its first key, perhaps the first in an array."""

JSON_BEGUN = re.compile(r"""(?:\[\s*)?(?:\{\s*(?:(?P<quote>["'])(?:(?!(?P=quote)).){0,64}(?:(?P=quote)\s*)?)?)?\s*\Z""")
JSON_MARK = re.compile(r"""\\[\s\S]|\\\Z|["'{}\[\]]""")

_ATTRIBUTE = r"""\s+[\w:.\-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)"""
TAG = re.compile(rf"<(?P<slash>/?)(?!www\.)(?P<name>[A-Za-z][\w:.\-]*)(?:{_ATTRIBUTE})*\s*(?P<alone>/?)>")
"""A tag: nothing but a name and attributes with values, so that "a <b and c> d" is none."""

TAG_BEGUN = re.compile(
    rf"""<(?:!-?|/?(?:[A-Za-z][\w:.\-]*(?:{_ATTRIBUTE})*"""
    r"""(?:\s+[\w:.\-]+\s*(?:=\s*(?:"[^"<>]*|'[^'<>]*)?)?)?\s*/?)?)?\Z"""
)

_LEAKS = (
    "function_calls", "function_call", "function_results", "function_result", "invoke", "parameter",
    "tool_calls", "tool_call", "tool_use", "tool_results", "tool_result", "thinking", "think",
)  # fmt: skip
LEAK = re.compile(rf"<(?:[A-Za-z][\w.\-]{{0,19}}:)?(?P<name>{'|'.join(_LEAKS)})(?=[\s/>])", re.IGNORECASE)
"""An element for a program, or for the model itself: its content is not for the caller. The tag may be broken."""

LEAK_END = {name: re.compile(rf"</(?:[\w.\-]{{1,20}}:)?{name}\s{{0,8}}>", re.IGNORECASE) for name in _LEAKS}
FENCE_END = re.compile("```")
TILDES_END = re.compile("~~~")
COMMENT_END = re.compile("-->")

LONGEST_END = 64
"""None of these ends is longer."""
