"""Errors that a user can mend, and the one for a file that cannot be decoded."""


class CourseError(Exception):
    """Bad input or a broken set-up: the message says what was found, what was expected, what to do.

    The command line prints the message alone and exits with status 1; any other exception is a
    defect of the course and keeps its traceback.
    """


class InputError(CourseError, ValueError):
    """An argument, a file or a setting that cannot be used as it is."""


class BitstreamError(CourseError, ValueError):
    """Bytes that no encoder wrote so: damaged, cut, foreign, or made for other tables."""
