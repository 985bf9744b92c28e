"""What lets a shell complete: the script that cyclopts writes, and what it has not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["Shell", "script"]

Shell: TypeAlias = Literal["bash", "zsh", "fish"]

NAME: Final = "retell_ws"
OTHER: Final = "retell-ws"
"""What it is installed as, too."""

_CHANGES: Final[dict[Shell, tuple[tuple[str, str], ...]]] = {
    "bash": (
        # Where the script has nothing to offer bash offers the names of files, as it does by itself.
        (f"complete -F _{NAME} {NAME}\n", f"complete -o bashdefault -o default -F _{NAME} {NAME} {OTHER}\n"),
        # So it does for flags that want a file, better than the script: with blanks, and a slash behind a folder.
        ('COMPREPLY=( $(compgen -f -- "${cur}") )', "COMPREPLY=()"),
    ),
    "zsh": ((f"#compdef {NAME}\n", f"#compdef {NAME} {OTHER}\n"),),
    "fish": (),
}

_BEHIND: Final[dict[Shell, str]] = {
    "bash": "",
    # zsh runs it when it is to complete, from a folder of completions, or it is read when a shell starts.
    "zsh": f"""
if (( ${{CURRENT:-0}} )); then
  _cyclopts_{NAME} "$@"
else
  compdef _cyclopts_{NAME} {NAME} {OTHER}
fi
""",
    "fish": f"\ncomplete -c {OTHER} -w {NAME}\n",
}


def script(app: App, shell: Shell) -> str:
    """Write it.

    Args:
        app: The command line.
        shell: For which shell.
    """
    text = app.generate_completion(shell=shell)
    for what, then in _CHANGES[shell]:
        text = text.replace(what, then)
    return text + _BEHIND[shell]
