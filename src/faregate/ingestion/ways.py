"""The ways in, and who reads the samples of each source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from faregate.core.observed import Source, Told
from faregate.ingestion.cloudevents import CLOUDEVENTS
from faregate.ingestion.imported import read_sample
from faregate.ingestion.litellm import LITELLM
from faregate.ingestion.otlp import OTLP
from faregate.ingestion.way import Sent, Way

WAYS: Final[tuple[Way, ...]] = (CLOUDEVENTS, LITELLM, OTLP)

READERS: Final[Mapping[Source, Callable[[Sent], Sequence[Told]]]] = {
    **{way.source: way.read for way in WAYS},
    "import": read_sample,
}
