"""`course notebooks`: execute and check the lectures and solutions."""

import contextlib
import sys


def add_commands(commands) -> None:
    parser = commands.add_parser(
        "notebooks", help="execute and save the lectures and solutions, or check what is saved"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="01_autoencoders, or a path")
    parser.add_argument("--check", action="store_true", help="check without executing")
    parser.set_defaults(run=_notebooks)


def _notebooks(options) -> int:
    from course_lib import notebooks
    from course_lib.notebook_checks import check_notebook

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
        problems += check_notebook(path)
    problems += notebooks.check_times() + notebooks.check_readme()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
