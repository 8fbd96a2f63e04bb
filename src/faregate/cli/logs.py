"""What the server writes to standard error: JSON lines for machines, colours on a terminal. The
libraries' own log lines take the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict

_EXPECTED: set[str] = set()


@contextmanager
def expecting(*events: str) -> Iterator[None]:
    """Say nothing of these events while the block runs: there they are no news."""
    _EXPECTED.update(events)
    try:
        yield
    finally:
        _EXPECTED.difference_update(events)


def _without_expected(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if event.get("event") in _EXPECTED:
        raise structlog.DropEvent
    return event


def configure_logs() -> None:
    """Set up logging for this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        # Plain tracebacks: the pretty ones show local variables, API keys among them.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("faregate").setLevel(logging.INFO)
    structlog.configure(
        processors=[
            _without_expected,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
