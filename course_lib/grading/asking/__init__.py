"""What a student's notebook touches: `check`, fixtures, one answer and its judgement, progress.

Imported by every notebook and by every process in the sandbox, so it stays light: numpy and
safetensors, torch only where an answer needs it. It imports no other room.
"""
