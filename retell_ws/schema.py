"""The facts on the bus, written down for others: an AsyncAPI 3.0 document made from the structs. No I/O.

What the structs say of themselves is all there is to it: their fields, their docstrings. So it cannot go out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getdoc
from typing import Any, Final

import msgspec
from docstring_parser import DocstringStyle, parse

from .entries import KINDS, VERSION, AnyFact, Entry
from .speech_facts import CallTranscript, Line

__all__ = ["document"]

ABOUT: Final = """\
Everything that happens in the calls of a server of retell_ws, one entry a fact.

An entry may be delivered more than once, and has the same `id` each time. All entries of a call are in one partition
of a topic, since their key is the call's id, and `epoch` and `seq` say which of two is the older. Entries of webhooks
are in no such order: their epoch is 0.

Fields are only added, and kinds of facts are: a reader passes over those that it does not know. What people said is
masked: numbers of cards and phones, addresses of e-mail.
"""

TOPICS: Final = {
    "facts": "All facts but the transcripts of calls that have ended.",
    "transcripts": "What was said in each call that has ended. Compacted: the last entry of a call is kept.",
    "dead": (
        "Entries that could not be handed on, or a consumer could not handle, as they came; long ones are cut. Other "
        "bytes that were no entry are here, too."
    ),
}

_TYPE: Final = r"^retell_ws\.[a-z_]+\.v[0-9]+$"
_REFERENCE: Final = "#/components/schemas/{name}"


def document(prefix: str, version: str) -> dict[str, Any]:
    """Write the document.

    Args:
        prefix: What the names of topics begin with.
        version: Of the package.
    """
    kinds = {kind: fact.__name__ for kind, fact in KINDS.items()}
    transcript = str(CallTranscript.__struct_config__.tag)
    of = {"facts": [kind for kind in kinds if kind != transcript], "transcripts": [transcript], "dead": ["dead"]}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Facts of retell_ws", "version": version, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            topic: {
                "address": prefix + topic,
                "description": about,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in of[topic]},
                "bindings": {"kafka": {"topic": prefix + topic, "bindingVersion": "0.5.0"}},
            }
            for topic, about in TOPICS.items()
        },
        "operations": {
            f"tell_{topic}": {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}} for topic in TOPICS
        },
        "components": {
            "messages": {**{kind: _message(kind, name) for kind, name in kinds.items()}, "dead": _dead()},
            "messageTraits": {
                "entry": {
                    "headers": {"$ref": _REFERENCE.format(name="Headers")},
                    "bindings": {
                        "kafka": {
                            "key": {"type": "string", "description": "Retell's id of the call."},
                            "bindingVersion": "0.5.0",
                        }
                    },
                }
            },
            "schemas": _schemas(),
        },
    }


def _message(kind: str, name: str) -> dict[str, Any]:
    fact = {"$ref": _REFERENCE.format(name=name)}
    about, _ = _told(KINDS[kind])
    return {
        "name": f"retell_ws.{kind}.v{VERSION}",
        "title": kind,
        "description": about,
        "payload": {"allOf": [{"$ref": _REFERENCE.format(name="Entry")}, {"properties": {"fact": fact}}]},
        "traits": [{"$ref": "#/components/messageTraits/entry"}],
    }


def _dead() -> dict[str, Any]:
    return {
        "name": "dead",
        "title": "A dead letter",
        "description": "What could not be taken, as it came.",
        "headers": {"$ref": _REFERENCE.format(name="DeadHeaders")},
        "payload": {"description": "An entry as a rule; of what was no JSON, or is cut, the bytes."},
    }


def _schemas() -> dict[str, Any]:
    # The structs say that a fact may be of a kind unknown to them, which no schema has words for.
    envelope = msgspec.defstruct(
        "Entry",
        [
            (field.name, AnyFact, field.default) if field.name == "fact" else (field.name, field.type, field.default)
            for field in msgspec.structs.fields(Entry)
        ],
        kw_only=True,
    )
    _, schemas = msgspec.json.schema_components([envelope], ref_template=_REFERENCE)
    structs: list[type[msgspec.Struct]] = [Entry, Line, *KINDS.values()]
    for described in structs:
        schema = schemas[described.__name__]
        schema["description"], fields = _told(described)
        for name, about in fields.items():
            schema["properties"][name]["description"] = about
    for schema in schemas.values():
        for of in schema["properties"].values():
            if "discriminator" in of:  # OpenAPI's, which says more
                of["discriminator"] = of["discriminator"]["propertyName"]
    return {**schemas, "Headers": _headers(), "DeadHeaders": _dead_headers()}


def _told(described: type[msgspec.Struct]) -> tuple[str, Mapping[str, str]]:
    """Read a docstring: what the struct is, and what its fields are."""
    parsed = parse(getdoc(described) or "", DocstringStyle.GOOGLE)
    return parsed.description or "", {
        about.arg_name: " ".join((about.description or "").split()) for about in parsed.params
    }


def _headers() -> dict[str, Any]:
    """Write down the attributes of CloudEvents 1.0, as headers of Kafka."""
    texts = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"description": "The entry's id."},
        "ce_source": {"const": "/retell_ws"},
        "ce_type": {
            "pattern": r"^retell_ws\.[a-z_]+\.v[0-9]+$",
            "description": "The kind of the fact, and the schema.",
        },
        "ce_subject": {"description": "Retell's id of the call."},
        "ce_time": {"format": "date-time", "description": "When it happened."},
        "content-type": {"const": "application/json"},
    }
    return {
        "description": "CloudEvents 1.0 in the binary mode of its binding for Kafka. Holds no speech.",
        "type": "object",
        "properties": {name: {"type": "string", **about} for name, about in texts.items()},
        "required": list(texts),
    }


def _dead_headers() -> dict[str, Any]:
    texts = {
        "dead_why": "Why it is here, in words that hold no speech.",
        "dead_by": "The consumer that could not handle it, or `bus`.",
        "dead_bytes": "How long it was before it was cut.",
    }
    return {
        "description": "Those of the entry, as far as they are known, and these.",
        "type": "object",
        "properties": {name: {"type": "string", "description": about} for name, about in texts.items()},
        "required": list(texts),
    }
