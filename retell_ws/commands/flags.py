"""Every setting as a flag, made from the settings themselves, so that none can be forgotten."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from cyclopts import Parameter
from msgspec import Meta

from ..settings import Settings
from .target import MaybeFile

__all__ = ["Flags", "given"]

_FILES: Final = frozenset({"data", "kafka_config", "archive", "rules", "answers_file"})
"""Settings that name a file or a folder."""


def _flag(name: str, hint: Any) -> tuple[str, Any, Any]:
    kind, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) is Literal:
        kind = Literal[tuple(choice for choice in get_args(kind) if choice)]
    if name in _FILES:
        kind = MaybeFile
    described = [meta.description for meta in metas if isinstance(meta, Meta) and meta.description]
    default = str("" if (value := getattr(_defaults, name)) is None else value)
    shown = default if default[-1:].isalnum() else f'"{default}"'  # `retell_ws.` would look like the sentence's end
    about = ". ".join((*described, f"Default: {shown}." if default else ""))
    return name, Annotated[kind | None, Parameter(help=about.strip(), show_default=False)], field(default=None)


_defaults = Settings()

if TYPE_CHECKING:

    class Flags:
        """One optional field for each setting; None is "not given"."""

else:
    Flags = make_dataclass(
        "Flags",
        [_flag(name, hint) for name, hint in get_type_hints(Settings, include_extras=True).items()],
        kw_only=True,
        frozen=True,
        namespace={"__module__": __name__},  # cyclopts opens up classes of a real module only
    )


def given(flags: Flags | None) -> dict[str, Any]:
    """Give the settings that came as flags, by name."""
    return {name: value for name in Settings.__struct_fields__ if (value := getattr(flags, name, None)) is not None}
