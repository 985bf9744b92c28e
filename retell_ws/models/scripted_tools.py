"""What the scripted model does when it has tools: which one it calls, and what it asks for before. Pure.

It keeps nothing between requests, and the transcript is all it sees. So it goes through the conversation from the
start each time, deciding again what it decided then; the last decision is the answer. Of its own words in between it
looks for one thing only: whether the question it must have asked was heard, in full or up to where the caller cut in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ..prompt import SPOKEN_INTO
from ..request import Block, Message, ModelRequest, ToolResult, ToolUse, Words
from .scripted_arguments import Argument, overheard, understood, words_of
from .scripted_intents import BOOK, CANCEL, CONFIRM, END, MOVE, TRANSFER, Tool, asked_for, tools_of
from .scripted_lines import (
    ANYTHING_ELSE,
    GOODBYE,
    IS_THAT_RIGHT,
    LISTENING,
    WHAT_NAME,
    WHICH_DAY,
    heard_in,
    is_no_request,
    is_own_question,
    reply,
    says_bye,
    says_no,
    says_yes,
)

__all__ = ["Answer", "Invocation", "answer"]

CONNECTING: Final = "One moment, I will connect you."
NEVER_MIND: Final = f"No problem. {ANYTHING_ELSE}"
DONE: Final = "That is done."
UNDER_WAY: Final = "That is under way."
FAILED: Final = "I'm sorry, that did not work."
SORRY: Final = "I'm sorry."
NOT_NOW: Final = f"I'm sorry, I cannot do that right now. {ANYTHING_ELSE}"
BYE: Final = "Goodbye!"

MAX_MESSAGES: Final = 40
"""How far back it looks; what was asked for earlier is done or forgotten."""

MAX_RESULT_WORDS: Final = 40
"""Longest result that is said as it is."""

_INTERRUPTED = re.compile(r"\s*" + re.escape(SPOKEN_INTO).replace(re.escape("{act}"), ".*?"))
"""Stands behind the caller's words and is none of them: "about to hang up" is no wish to."""

_FORGET_IT = re.compile(r"\b(?:never ?mind|forget (?:it|that|about it)|stop that)\b", re.IGNORECASE)
_PARDON = re.compile(
    r"\W*(?:what|sorry|pardon(?: me)?|excuse me|come again|huh|hello|wait|hold on|one (?:moment|second)|um+|uh+|hm+|"
    r"(?:can|could) you (?:say that again|repeat(?: that)?)|i didn't (?:get|hear|catch) that)\W*",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(r"\W*(?:yes|yeah|yep|okay|ok|sure|right|no|nope)\W*", re.IGNORECASE)
_NOTE = re.compile(r"\([^()]*\)\s*")
_PROSE = re.compile(r"[^\W\d_](?:[^\W\d_]|['’ ])[^{}\[\]<>\n]*")


class Invocation(msgspec.Struct, frozen=True):
    """A tool and its arguments."""

    name: str
    input: dict[str, object]


class Answer(msgspec.Struct, frozen=True):
    """What the model answers: words, a call after them, or both."""

    text: str = ""
    call: Invocation | None = None


class _Task(msgspec.Struct):
    """A tool that was asked for, and what is known of its arguments."""

    tool: Tool
    values: dict[str, object]

    @property
    def missing(self) -> Argument | None:
        """What is asked for next."""
        return next((one for one in self.tool.arguments if one.required and one.name not in self.values), None)

    def ordered(self) -> dict[str, object]:
        """Give the values in the order of the arguments, whichever came first."""
        return {one.name: self.values[one.name] for one in self.tool.arguments if one.name in self.values}

    def overhear(self, heard: str) -> None:
        """Take from the caller's words what they mention, where it can mean one argument only."""
        alike = [_likeness(one) for one in self.tool.arguments]
        for one in self.tool.arguments:
            if one.name not in self.values and alike.count(_likeness(one)) == 1:
                value = overheard(one, heard)
                if value is not None:
                    self.values[one.name] = value


def answer(request: ModelRequest) -> Answer:
    """Answer a request.

    Returns:
        The same for the same request. It calls nothing the second time but when it is asked a second time.
    """
    if not request.tools or not request.messages:
        return Answer(reply(request.messages))
    messages = (*request.messages[-MAX_MESSAGES:-1], _without_note(request.messages[-1]))
    tools = tools_of(request.tools)
    told = _told(messages, tools)
    if told and not messages[-1].text:
        return Answer(told)
    found = _Conversation(tools).follow(messages)
    if told and found.text == reply(messages) and not _is_request(messages[-1].text, tools):
        return Answer(told)  # the caller spoke meanwhile, and asked for nothing new
    if found.call is not None and request.tool_choice == "none":
        return Answer(GOODBYE if GOODBYE in (found.text, *found.call.input.values()) else NOT_NOW)
    return found


def _without_note(message: Message) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message(message.role, _INTERRUPTED.sub("", content))
    parts = [Words(_INTERRUPTED.sub("", part.text)) if isinstance(part, Words) else part for part in content]
    return Message(message.role, tuple(parts))


def _is_request(heard: str, tools: Sequence[Tool]) -> bool:
    return says_bye(heard) or asked_for(heard, tools) is not None


class _Conversation:
    """Decides on each of the caller's turns, one after the other."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools
        self._task: _Task | None = None
        self._refused: _Task | None = None  # what the latest tool said no to

    def follow(self, messages: Sequence[Message]) -> Answer:
        """Decide on every turn; returns what was decided on the last one."""
        decided = Answer(LISTENING)
        for index, message in enumerate(messages):
            if message.role == "assistant":
                if any(isinstance(block, ToolUse) for block in _blocks(message)):
                    self._task = None
                continue
            self._learn(messages[: index + 1])
            if message.text or isinstance(message.content, str):
                decided = self._decide(messages[: index + 1])
        return decided

    def _learn(self, messages: Sequence[Message]) -> None:
        """Take in what came of the calls whose results the last message holds."""
        uses = {block.id: block for block in _blocks(*messages[-2:-1]) if isinstance(block, ToolUse)}
        for block in _blocks(messages[-1]):
            if isinstance(block, ToolResult):
                use = uses.get(block.tool_use_id)
                tool = next((tool for tool in self._tools if use is not None and tool.name == use.name), None)
                self._refused = None
                if use is not None and tool is not None and block.is_error:
                    self._refused = _Task(tool, msgspec.json.decode(use.input, type=dict[str, object]))

    def _decide(self, messages: Sequence[Message]) -> Answer:
        heard = heard_in(messages[-1])
        said = messages[-2].text if len(messages) > 1 else ""
        if is_no_request(heard):
            return Answer(reply(messages))
        found = asked_for(heard, self._tools)
        if self._task is not None and (progress := self._go_on(self._task, heard, said, found)) is not None:
            return progress
        if found is None and (says_bye(heard) or (said.endswith(ANYTHING_ELSE) and says_no(heard))):
            self._task = None
            return self._begin(tool, heard) if (tool := self._first(END)) else Answer(GOODBYE)
        if self._refused is not None and (progress := self._retry(self._refused, heard, said, found)) is not None:
            return progress
        if found is not None:
            return self._begin(found[0], heard)
        was_asked = said.endswith("?") and not is_own_question(said)
        if was_asked and (tool := self._agreed(heard)) is not None:
            return self._begin(tool, heard)
        plain = reply(messages)
        if was_asked and plain.endswith(IS_THAT_RIGHT) and (tool := self._asked_about(said)) is not None:
            return self._begin(tool, heard)
        if plain in (WHICH_DAY, WHAT_NAME) and (tool := self._first(BOOK)) is not None:
            return self._begin(tool, heard)
        return Answer(plain)

    def _go_on(self, task: _Task, heard: str, said: str, found: tuple[Tool, frozenset[str]] | None) -> Answer | None:
        """Take the turn for an answer to what was asked; None when it is none, and the task is left."""
        asked = task.missing
        if asked is None:
            raise AssertionError("a task with nothing to ask is done")
        value = understood(asked, heard) if _was_heard(asked.question, said) and _is_answer(asked, heard) else None
        is_sure = value is not None and (asked.kind in _UNMISTAKABLE or overheard(asked, heard) is not None)
        if not is_sure:
            if _FORGET_IT.search(heard):
                self._task = None
                return Answer(NEVER_MIND)
            if says_bye(heard):
                self._task = None
                return None
            if found is not None and found[0] != task.tool and (value is None or found[1] & _leaves(asked)):
                return None
        if value is not None:
            task.values[asked.name] = value
        task.overhear(heard)
        return self._step(task, heard)

    def _retry(self, refused: _Task, heard: str, said: str, found: tuple[Tool, frozenset[str]] | None) -> Answer | None:
        """Take the turn for an answer to a refusal: the caller names something else, or does without."""
        if found is not None and found[0] != refused.tool:
            return None
        named = _Task(refused.tool, {})
        named.overhear(heard)
        values = {**refused.values, **named.values}
        was_asked = found is None and said.endswith("?") and not is_own_question(said)
        if values == refused.values and was_asked and says_yes(heard):
            values = dict(list(values.items())[1:])  # the first thing is what a caller chose first
        if values != refused.values or (was_asked and named.values):
            self._task, self._refused = _Task(refused.tool, values), None
            return self._step(self._task, heard)
        if _FORGET_IT.search(heard) or (was_asked and says_no(heard)):
            self._refused = None
            return Answer(NEVER_MIND)
        return None

    def _agreed(self, heard: str) -> Tool | None:
        """Find the tool for a yes or a no to a question of the greeting's, where there is one to confirm with."""
        confirm = self._first(CONFIRM)
        if confirm is None or heard.endswith("?"):
            return None
        return confirm if says_yes(heard) else self._first(MOVE) if says_no(heard) else None

    def _asked_about(self, said: str) -> Tool | None:
        """Find the tool whose first argument was asked for, by the greeting or by another tool."""
        words = set(_words(re.split(r"[.!?]\s", said)[-1]))
        for tool in self._tools:
            first = next((one for one in tool.arguments if one.required), None)
            if first is not None and words.issuperset(words_of(first.name)):
                return tool
        return None

    def _begin(self, tool: Tool, heard: str) -> Answer:
        self._task, self._refused = _Task(tool, {}), None
        self._task.overhear(heard)
        return self._step(self._task, heard)

    def _step(self, task: _Task, heard: str) -> Answer:
        """Ask for what is missing, or call."""
        ends, transfers = END in task.tool.wants, TRANSFER in task.tool.wants
        if ends or transfers:
            # Nobody is asked for the reason, or for the words to part with.
            for one in task.tool.arguments:
                if one.name in _SAID_BEFORE:
                    task.values.setdefault(one.name, GOODBYE if ends else CONNECTING)
                elif one.required and one.kind == "text":
                    task.values.setdefault(one.name, GOODBYE if ends else heard)
        for one in task.tool.arguments:
            if one.required and one.kind == "choice" and len(one.choices) == 1:
                task.values.setdefault(one.name, one.choices[0])
        if (asked := task.missing) is not None:
            return Answer(asked.question)
        self._task = None
        # These come before the call: after it there may be nobody to hear them. Best, the tool says them itself.
        words = "" if _SAID_BEFORE & {*task.values} else GOODBYE if ends else CONNECTING if transfers else ""
        return Answer(words, Invocation(task.tool.name, task.ordered()))

    def _first(self, want: str) -> Tool | None:
        return next((tool for tool in self._tools if want in tool.wants), None)


_SAID_BEFORE: Final = frozenset({"message", "farewell", "goodbye"})
"""Arguments for what is said before a call ends or is handed on."""

_UNMISTAKABLE: Final = frozenset({"integer", "number", "boolean", "choice"})
"""Kinds of which not every answer is one."""


def _is_answer(asked: Argument, heard: str) -> bool:
    """Tell an answer from what is said to hear the question again, or while it is still being asked."""
    return not (_PARDON.fullmatch(heard) or (asked.kind in ("day", "name", "code") and _YES_OR_NO.fullmatch(heard)))


def _leaves(asked: Argument) -> frozenset[str]:
    """Say what a caller must want to leave a question, when their words may be its answer just as well."""
    return frozenset({TRANSFER, END}) if asked.kind == "text" else frozenset({TRANSFER, END, BOOK, CANCEL, MOVE})


def _likeness(argument: Argument) -> object:
    """Tell arguments of which one may be taken for another."""
    if argument.kind == "choice":
        return argument.choices
    return "number" if argument.kind in ("code", "integer", "number") else argument.kind


def _was_heard(question: str, said: str) -> bool:
    """Tell whether what was said last is the question, or as much of it as was said before the caller cut in."""
    wanted, words = _words(question), _words(said)
    if words[-1:] == wanted[:1]:
        return True
    # The last word may have been cut, too.
    tails = [" ".join(words[-count:]) for count in range(2, min(len(words), len(wanted)) + 1)]
    return " ".join(wanted).startswith(tuple(tails))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _told(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """Say what came of the calls whose results the last message holds; empty when it holds none."""
    results = [block for block in _blocks(messages[-1]) if isinstance(block, ToolResult)]
    if not results:
        return ""
    wants = _wants_of(messages, tools)
    failed = any(result.is_error for result in results)
    if END in wants and not failed:
        return BYE
    text = " ".join([_sentence(result) for result in results])
    if text.endswith("?") or (TRANSFER in wants and not failed):
        return text
    return f"{text} {ANYTHING_ELSE}"


def _wants_of(messages: Sequence[Message], tools: Sequence[Tool]) -> frozenset[str]:
    names = {block.name for block in _blocks(*messages[-2:-1]) if isinstance(block, ToolUse)}
    return frozenset(want for tool in tools if tool.name in names for want in tool.wants)


def _sentence(result: ToolResult) -> str:
    said = _prose(result.content)
    if result.is_error:
        return f"{SORRY} {said}" if said else FAILED
    # Nothing but a note for the model is said of a tool that still runs.
    return said or (UNDER_WAY if _NOTE.fullmatch(result.content) else DONE)


def _prose(content: str) -> str:
    """Take a result that may be said as it is, made a sentence; empty when it is meant for machines."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = content
    said = value.strip() if isinstance(value, str) else ""
    if (note := _NOTE.match(said)) is not None:
        said = said[note.end() :]
    if not _PROSE.fullmatch(said) or len(said.split()) > MAX_RESULT_WORDS:
        return ""
    said = said[0].upper() + said[1:]
    return said if said[-1] in ".!?" else f"{said}."


def _blocks(*messages: Message) -> list[Block]:
    """Give what these messages hold beside plain words."""
    return [block for message in messages if not isinstance(message.content, str) for block in message.content]
