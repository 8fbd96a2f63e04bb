"""Pages: the operator's dashboard, and what customers see."""

from faregate.web.app import create_web

__all__ = ["create_web"]
