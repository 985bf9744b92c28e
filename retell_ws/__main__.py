"""The command line: `python -m retell_ws`, also installed as `retell_ws` and `retell-ws`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Any, Final

from cyclopts import App, CycloptsError, MissingArgumentError, UnknownCommandError, UnusedCliTokensError

from .commands.completion import Shell, script
from .commands.plain import one_line
from .errors import UsageError
from .lifeline import follow

__all__ = ["completion", "main"]


def _version() -> str:
    from importlib.metadata import version

    return version("retell-ws")


app = App(
    name="retell_ws",
    help="The server behind a Retell voice agent. Start with `serve`, then talk to it with `chat`.",
    version=_version,
    version_flags=["--version"],
    help_format="plaintext",  # of the list of commands alone: a reader of Markdown is a third of the start
)

_HELP: Final[Mapping[str, Any]] = {"version": _version, "help_format": "markdown"}

# By name, so that a command is imported only when it is asked for: `serve` must start fast.
for name, about in {
    "serve": "Answer Retell: serve an agent until the process is told to stop.",
    "dev": "Serve an agent, and start anew whenever its files are saved.",
    "chat": "Talk to an agent or to a running server in the terminal.",
    "new": "Write an agent to edit: ten lines, or a whole example.",
    "check": "Check the protocol conformance of any custom-LLM server.",
    "consume": "Read the facts of calls, and do something with them.",
    "proxy": "Write the configuration of a proxy before several servers.",
    "facts": "Write the AsyncAPI document of the facts on the bus.",
    "kubernetes": "Write manifests for Kubernetes: servers, consumers, and what scales them.",
    "bench": "Let synthetic callers measure a server against its latency budget.",
    "report": "Tell how calls went, from the figures that were kept: a page with charts, or JSON.",
    "register": "Let an agent of Retell's be answered by this server: create it, or change it.",
    "calls": "List the latest calls of Retell's, with why they ended and where their time went.",
}.items():
    app.command(f"retell_ws.commands.{name}:{name}", name=name, help=about, **_HELP)


def _group(name: str, about: str, commands: Mapping[str, tuple[str, str]]) -> None:
    """Add commands that share their first word: each by where its function is, and what it does."""
    group = App(name=name, help=about, **_HELP)
    for command, (place, does) in commands.items():
        group.command(f"retell_ws.commands.{place}", name=command, help=does, **_HELP)
    app.command(group)


_group(
    "answers",
    "Find answers ahead that are then given without asking the model.",
    {
        "warm": (
            "answers:warm",
            "Ask the model for the common openings of calls, and show which answers may be kept.",
        )
    },
)
_group(
    "blueprint",
    "Choose, set up and prove one of the three architectures.",
    {
        "recommend": ("blueprint_recommend:recommend", "Say which blueprint fits, and why."),
        "apply": ("blueprint_apply:apply", "Write the files of a blueprint, or move a set-up to it."),
        "validate": (
            "blueprint_validate:validate",
            "Prove a set-up: settings, stores, conformance, latency, failover, events, registration.",
        ),
    },
)
_group(
    "monitoring",
    "Write a dashboard for Grafana, or alert rules for Prometheus.",
    {
        "dashboard": (
            "monitoring:dashboard",
            "Write a dashboard, to import into Grafana; it asks which Prometheus.",
        ),
        "alerts": ("monitoring:alerts", "Write alert rules, for `rule_files` of Prometheus."),
    },
)
_group(
    "transcripts",
    "What was said in calls, out of the archive.",
    {
        "list": ("transcripts:list_", "List calls, the latest first."),
        "show": ("transcripts:show", "Show what was said in a call."),
        "export": ("transcripts:export", "Write calls to a file."),
        "forget": ("transcripts:forget", "Delete a call from the archive for good."),
    },
)


@app.command(version=_version, help_format="markdown")
def completion(shell: Shell, /) -> None:
    """Write what lets a shell complete commands, flags and files.

    `source <(retell_ws completion bash)` tries it, in zsh likewise, behind `compinit`. To keep it, bash looks for it
    in `~/.local/share/bash-completion/completions/retell_ws`, zsh in `_retell_ws` in a folder of `$fpath`, fish in
    `~/.config/fish/completions/retell_ws.fish`; for `retell-ws`, bash and fish look for a file of that name.

    Args:
        shell: Which one.
    """
    sys.stdout.write(script(app, shell))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 ok, 1 the thing asked for failed, 2 it was asked for wrongly."""
    follow()
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no arrows gets a mark in their place
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except UnusedCliTokensError as exc:
        sys.exit(_refuse(f"too many arguments: {' '.join(exc.unused_tokens or ())}"))
    except UnknownCommandError as exc:
        given = (arguments or sys.argv[1:])[0]
        sys.exit(_refuse(f"{exc} To serve it: serve {given}" if ".py" in given else str(exc)))
    except MissingArgumentError as exc:
        sys.exit(_refuse(_missing(exc)))
    except CycloptsError as exc:
        sys.exit(_refuse(str(exc)))
    except UsageError as exc:
        _refuse(str(exc))
        sys.exit(exc.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _missing(error: MissingArgumentError) -> str:
    """Say what lacks. Of a flag that was not given, cyclopts says the same as of one that was, without its value."""
    told = str(error)
    if error.argument is None or error.keyword is not None or error.argument.tokens:
        return told
    _, guesses, guess = told.partition(" Did you mean ")  # a flag that reads like the one that lacks
    return f"{' '.join(error.command_chain or ())}: {error.argument.name} is missing.{guesses}{guess}"


def _refuse(why: str) -> int:
    sys.stderr.write(f"retell_ws: {one_line(why)}\n")
    return 2


if __name__ == "__main__":
    main()
