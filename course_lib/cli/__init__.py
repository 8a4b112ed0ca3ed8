"""The command ``course``: a module for each group of commands, heavy imports only where used."""

import contextlib
import warnings

from course_lib.cli import exercises, files, grading, info, measuring, notebooks, train
from course_lib.cli.parsing import Parser, UsageError, one_line
from course_lib.cli.streams import say, steadily
from course_lib.errors import CourseError, CourseWarning

_GROUPS = (info, notebooks, files, measuring, exercises, grading, train)  # as `--help` lists them


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    return steadily("course", lambda: _run(arguments))


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="course", description="Learned image compression: a course")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in _GROUPS:
        group.add_commands(commands)
    return parser


def _run(arguments: list[str] | None) -> int:
    name = "course"
    try:
        options = make_parser().parse_args(arguments)
        name = f"course {options.command}"
        with _noting(name):
            return options.run(options) or 0
    except UsageError as error:
        say(f"{error.prog}: {one_line(str(error))}")
        return error.status
    except CourseError as error:
        lines = str(error).split("\n") if error.is_list else [str(error)]
        say("\n".join([f"{name}: {one_line(lines[0])}", *map(one_line, lines[1:])]))
        return 1
    except KeyboardInterrupt as stop:
        say(f"{name}: stopped. {one_line(str(stop))}".strip())
        return 130


@contextlib.contextmanager
def _noting(name: str):
    """Print each warning of the course as a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CourseWarning)
        shown = warnings.showwarning

        def note(message, category, *place, **more):
            if issubclass(category, CourseWarning):
                say(f"{name}: note: {one_line(str(message))}")
            else:
                shown(message, category, *place, **more)

        warnings.showwarning = note
        yield
