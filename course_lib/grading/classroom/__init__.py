"""Grading a class: what was handed in, read as data; its examination; verdicts that are kept.

It imports asking, authoring and sandbox. Nothing that a submission holds is run outside the
sandbox, and of what it replies nothing is believed but the outcomes, which are judged here.
"""
