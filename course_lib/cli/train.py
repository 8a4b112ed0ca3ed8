"""`course train`: weights for a codec."""

import argparse

from course_lib.cli.parsing import Parser


def add_commands(commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a codec, or go on with a run",
        add_help=False,
        prefix_chars="\0",  # all that follows is for the parser of the recipes, which import torch
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(run=_train)


def _train(options) -> None:
    from course_lib import recipes

    options = make_parser().parse_args(options.arguments)
    outcome = recipes.run(options.recipe, options)
    if outcome:
        for path, sha256 in outcome.files.items():
            print(f"{path}\nSHA-256 {sha256}")
        print(", ".join(f"{key} {value:.5g}" for key, value in outcome.last.items()))


def make_parser() -> Parser:
    """The parser of all recipes."""
    from course_lib import recipes

    parser = Parser(
        prog="course train",
        description="Train by a recipe, or go on with the run in its folder. "
        "`course train RECIPE --help` lists what can be said to it.",
        epilog="On several GPUs: torchrun --nproc-per-node=8 -m course_lib.cli train …",
    )
    choices = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    for name, recipe in recipes.RECIPES.items():
        recipes.add_arguments(
            choices.add_parser(name, help=recipe.summary, description=f"{recipe.summary}."), recipe
        )
    return parser
