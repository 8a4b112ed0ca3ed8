"""The models of the course, one file per chapter; each reads from top to bottom."""
