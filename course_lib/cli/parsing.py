"""What all commands have in common: whatever they refuse is one line."""

import argparse
import re
import sys

from course_lib.errors import CourseError


class UsageError(CourseError):
    """Words that do not make a command, by the parser of ``prog``."""

    def __init__(self, message: str, prog: str, status: int):
        super().__init__(message)
        self.prog = prog
        self.status = status


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; parsers of commands, made by it, do so too."""

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        for word in words:
            if word.startswith("--") and word.endswith("=--"):  # argparse would drop the value
                self.error(f"argument {word.removesuffix('=--')}: expected another value than --")
        return super().parse_known_args(words, namespace)

    def error(self, message: str):
        """Raise what `main` prints.

        Raises:
            UsageError: with status 1 for a number out of its range, as for all bad input; with 2
                otherwise.
        """
        number = re.fullmatch(r"argument (\S+): Got (.*)", message, re.DOTALL)
        if number:
            raise UsageError(f"Got {number[1]}{number[2]}.", self.prog, status=1)
        help = f"`{self.prog} --help` lists what can be said."
        raise UsageError(f"{message}. {help}", self.prog, status=2)


def one_line(text: str) -> str:
    """A text as one line that any terminal shows: line ends, codes and lone surrogates escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
