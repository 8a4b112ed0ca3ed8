"""Errors that a user can mend, one of them for files that cannot be decoded; and warnings."""


class CourseError(Exception):
    """Bad input or a broken set-up: the message says what was found, what was expected, what to do.

    The command line prints the message alone and exits with status 1; any other exception is a
    defect of the course and keeps its traceback.
    """

    is_list = False  # whether the message is a list of problems, one in a line


class InputError(CourseError, ValueError):
    """An argument, a file or a setting that cannot be used as it is."""


class BitstreamError(CourseError, ValueError):
    """Bytes that no encoder wrote so: damaged, cut, foreign, or made for other tables."""


class CourseWarning(UserWarning):
    """Something that a user should know, though the work goes on: the command line prints it."""
