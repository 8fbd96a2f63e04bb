"""The live page: what is being charged right now, for the operator's eyes. It only reads."""

from faregate.web.app import create_web

__all__ = ["create_web"]
