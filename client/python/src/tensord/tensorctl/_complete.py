"""``tensorctl completion``: a script for a shell."""

from __future__ import annotations

import argparse

from tensord.tensorctl._command import Command, Example
from tensord.tensorctl._completion import SHELLS, script
from tensord.tensorctl._session import Session

_DESCRIPTION = """\
Prints what a shell has to evaluate to complete the command line: commands,
options, files, and, from the server, the names of tensors and devices. A
server that does not answer within a second completes to nothing.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS)
    )


def _run(args: argparse.Namespace, session: Session) -> None:
    session.refuse_json("a script is printed")
    print(script(args.shell))


COMMAND = Command(
    "completion",
    "the shell",
    "print a script that completes command lines",
    _DESCRIPTION,
    (
        Example(
            'eval "$(tensorctl completion bash)"', "in ~/.bashrc or ~/.zshrc"
        ),
        Example(
            "tensorctl completion fish "
            "> ~/.config/fish/completions/tensorctl.fish",
            "once, for fish",
        ),
    ),
    _add_arguments,
    _run,
)
