"""Faregate: self-hosted, real-time, wallet-native billing for AI products."""

from faregate.core.problems import FaregateError
from faregate.engine import Engine

__all__ = ["Engine", "FaregateError"]
__version__ = "0.1.0"
