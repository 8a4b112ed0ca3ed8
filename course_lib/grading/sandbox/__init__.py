"""Running students' code where it can do no harm, and reading what comes out of it.

Outside, in the grader's process: ``sessions``, ``bubblewrap``, ``replies``, ``hostile_text``.
Inside, beside the student's code: ``zygote``, ``student_process``. Both sides: ``wire``. What runs
inside imports ``wire`` and asking, never the outside or another room.
"""
