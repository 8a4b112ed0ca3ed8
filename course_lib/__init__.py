"""Learned image compression, from autoencoders to adaptive codecs."""

__version__ = "0.1.0"
