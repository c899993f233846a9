"""The version of padmask. This module imports nothing, so every module can import the version."""

__version__ = "0.2.0"
