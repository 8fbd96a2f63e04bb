"""The customers' own pages: how they come in, how it looks, and what is there."""

from faregate.web.portal.site import Portal

__all__ = ["Portal"]
