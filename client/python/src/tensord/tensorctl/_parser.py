"""The command line: options that all commands share, commands, and help."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Iterator, Sequence

from tensord.tensorctl import (
    _bench,
    _complete,
    _convert,
    _get,
    _info,
    _ls,
    _put,
    _rm,
    _show,
    _top,
)
from tensord.tensorctl._command import Command
from tensord.tensorctl._exit import MEANINGS
from tensord.tensorctl._units import parse_duration

COMMANDS: tuple[Command, ...] = (
    _put.COMMAND,
    _get.COMMAND,
    _convert.COMMAND,
    _ls.COMMAND,
    _show.COMMAND,
    _rm.COMMAND,
    _info.INFO,
    _info.DEVICES,
    _top.COMMAND,
    _bench.COMMAND,
    _complete.COMMAND,
)

_DESCRIPTION = "Works with the tensors of a tensord server."

_ENVIRONMENT = """\
environment:
  TENSORD_URL    the server: host:port, unix:PATH, tensord://host:port, or
                 tensords://host:port for TLS (default: localhost:50051)
  TENSORD_TOKEN  the token that says who calls
  TENSORD_CLIENT_TLS_CA, TENSORD_CLIENT_TLS_CERT, TENSORD_CLIENT_TLS_KEY
                 as --tls-ca, --tls-cert and --tls-key
  TENSORD_PROGRESS
                 0 for no progress bars
All but the last are for want of --target, and go to no server that it names.
"""

_WIDTH = 79


def _exit_codes() -> str:
    lines = ["exit codes:"]
    for code, meaning in MEANINGS.items():
        lines += textwrap.wrap(
            meaning,
            _WIDTH,
            initial_indent=f"  {int(code):<4}",
            subsequent_indent=" " * 6,
        )
    return "\n".join(lines)


def _command_list() -> Iterator[str]:
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            yield f"\n{group}:"
        yield f"  {command.name:<12}{command.summary}"


def _examples(command: Command) -> str:
    lines = ["examples:"]
    for example in command.examples:
        lines += [f"  # {example.purpose}", f"  {example.line}"]
    return "\n".join(lines)


def _shared_options(in_command: bool) -> _CommandParser:
    """The options that may stand before and behind the command.

    None has a default: that of the command would win over what was given
    before it.
    """
    shared = _CommandParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group(
        "options of all commands" if in_command else "options"
    )
    if in_command:
        _add_shared(group, hidden=True)
        names = [one.option_strings[-1] for one in group._group_actions]
        group.description = textwrap.fill(
            f"see 'tensorctl --help': {', '.join(names)}",
            _WIDTH - 2,
            break_on_hyphens=False,
        )
    else:
        _add_shared(group, hidden=False)
    return shared


def _add_shared(group: argparse._ArgumentGroup, hidden: bool) -> None:
    def add(*names: str, help: str, **options: object) -> None:
        text = argparse.SUPPRESS if hidden else help
        group.add_argument(*names, help=text, **options)  # type: ignore[arg-type]

    add(
        "-t",
        "--target",
        metavar="URL",
        help="the server: host:port, unix:PATH, tensord://host:port or "
        "tensords://host:port (default: TENSORD_URL, or localhost:50051)",
    )
    add(
        "--token-file",
        metavar="FILE",
        help="file with the token that says who calls",
    )
    add("--tls", action="store_true", help="encrypt")
    add("--tls-ca", metavar="FILE", help="PEM file of authorities to trust")
    add("--tls-cert", metavar="FILE", help="PEM file with our certificate")
    add("--tls-key", metavar="FILE", help="PEM file with its key")
    add(
        "--insecure",
        action="store_true",
        help="let the token go to other hosts without TLS",
    )
    add(
        "--timeout",
        type=parse_duration,
        metavar="TIME",
        help="most time for a call that moves no array (default: 30s)",
    )
    add("--json", action="store_true", help="print JSON")
    add(
        "-q",
        "--quiet",
        action="store_true",
        help="no names of what was done, notes and progress bars",
    )
    add("--no-progress", action="store_true", help="no progress bars")


class _Parser(argparse.ArgumentParser):
    """Tells of mistakes in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"tensorctl: {message}; see '{self.prog} --help'\n")


class _CommandParser(_Parser):
    """Lets options stand among the arguments: ``put FILE --replace NAME``."""

    _intermixes = False

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        # Which calls this, and argcomplete wants to see one pass.
        if self._intermixes or "_ARGCOMPLETE" in os.environ:
            return super().parse_known_args(args, namespace)
        self._intermixes = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixes = False


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tensord import __version__

        print(f"tensorctl {__version__}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of tensorctl's command line.

    What it makes has ``command``, a :class:`Command`, and the options of that;
    those that all commands share are there only where they were given.
    """
    parser = _Parser(
        prog="tensorctl",
        usage="tensorctl [OPTION...] COMMAND [ARGUMENT...]",
        description="\n".join([_DESCRIPTION, *_command_list()]),
        epilog=f"'tensorctl COMMAND --help' has examples.\n\n{_ENVIRONMENT}\n"
        f"{_exit_codes()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_options(in_command=False)],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        dest=argparse.SUPPRESS,
        help="print the version and exit",
    )
    commands = parser.add_subparsers(
        metavar="COMMAND",
        required=True,
        help=argparse.SUPPRESS,
        parser_class=_CommandParser,
    )
    for command in COMMANDS:
        _add_command(commands, command)
    return parser


def _add_command(
    commands: argparse._SubParsersAction[_CommandParser], command: Command
) -> None:
    parser = commands.add_parser(
        command.name,
        prog=f"tensorctl {command.name}",
        description=command.description,
        epilog=_examples(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_options(in_command=True)],
        allow_abbrev=False,
    )
    parser.set_defaults(command=command)
    command.add_arguments(parser)
