"""The command ``course``: one function per subcommand, heavy imports only where they are used."""

import argparse
import sys

from course_lib.errors import CourseError


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="course", description="Learned image compression: a course")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in (_add_info,):
        add_command(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except CourseError as error:
        print(f"course {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"course {options.command}: stopped.", file=sys.stderr)
        return 130


def _add_info(commands) -> None:
    parser = commands.add_parser("info", help="versions, device, data and weights present")
    parser.set_defaults(run=_info)


def _info(options) -> int:
    raise CourseError("not built yet")


if __name__ == "__main__":
    sys.exit(main())
