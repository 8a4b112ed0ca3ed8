"""From what authors write to what students get: questions, known mistakes, release and review.

It imports asking. ``questions`` and ``mistakes`` are what a spec file imports; a rehearsal runs
spec files in the sandbox too.
"""
