"""`course info`: what is installed and present."""


def add_commands(commands) -> None:
    parser = commands.add_parser("info", help="versions, device, data and weights present")
    parser.set_defaults(run=_info)


def _info(options) -> None:
    from course_lib.info import report

    print(report())
