"""The command ``course``: a module for each group of commands, heavy imports only where used."""

import argparse
import sys

from course_lib.cli import exercises, files, grading, info, measuring, notebooks, train
from course_lib.errors import CourseError

_GROUPS = (info, notebooks, files, measuring, exercises, grading, train)  # as `--help` lists them


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="course", description="Learned image compression: a course"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in _GROUPS:
        group.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except CourseError as error:
        print(f"course {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"course {options.command}: stopped.", file=sys.stderr)
        return 130
