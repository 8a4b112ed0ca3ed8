"""Learned image compression, from autoencoders to adaptive codecs."""

__version__ = "0.1.0"
__all__ = ["decode", "encode", "encode_within", "load_codec"]


def __getattr__(name: str):
    """The codecs on first use, so that `import course_lib` alone does not load torch."""
    if name in __all__:
        from course_lib import codecs

        return getattr(codecs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
