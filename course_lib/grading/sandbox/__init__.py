"""Running students' code where it can do no harm, and reading what comes out of it.

Outside, in the grader's process: ``sessions``, ``limits``, ``bubblewrap``, ``groups``, ``replies``,
``hostile_text``. Inside, around the student's code and beside it: ``zygote``, ``supervisor``,
``confinement``, ``syscalls``, ``student_process``, ``notebook_shell``. Both sides: ``wire``. What
runs inside imports ``wire``, asking and its like, never the outside or another room.
"""
