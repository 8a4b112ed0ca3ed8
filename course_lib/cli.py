"""The command ``course``: one function per subcommand, heavy imports only where they are used."""

import argparse
import contextlib
import sys

from course_lib.errors import CourseError


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="course", description="Learned image compression: a course"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in (_add_info, _add_notebooks):
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
    from course_lib.info import report

    print(report())


def _add_notebooks(commands) -> None:
    parser = commands.add_parser(
        "notebooks", help="execute and save the lectures and solutions, or check what is saved"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="01_autoencoders, or a path")
    parser.add_argument("--check", action="store_true", help="check without executing")
    parser.set_defaults(run=_notebooks)


def _notebooks(options) -> int:
    from course_lib import notebooks

    problems = []
    if options.check:
        paths = notebooks.find_notebooks(options.names)
    else:
        paths = notebooks.find_notebooks(options.names, ("notebooks", "solutions"))
        for path in paths:
            try:
                seconds, dropped = notebooks.rebuild(path)
                print(f"{path.parent.name}/{path.name}: {seconds:.1f} s", flush=True)
                print(*dropped, sep="\n", end="\n" if dropped else "", file=sys.stderr)
            except notebooks.NotebookError as error:
                problems.append(str(error))
        with contextlib.suppress(notebooks.NotebookError):  # check_readme says what is missing
            notebooks.update_readme()
    for path in paths:
        problems += notebooks.check_notebook(path)
    problems += notebooks.check_times() + notebooks.check_readme()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
