"""What the demo's company pays others for a use, at list prices. It is made up who buys what; the
prices are not. The costs of an event are exact: amounts with at most nine decimals of a dollar.

They are what was listed in 2026 (found by way of tables that others keep, each with its date):

- OpenAI, per million tokens in and out: GPT-4.1 mini 0.40 and 1.60, GPT-4.1 2.00 and 8.00 (as of
  21 June 2026, tokenmath.io/openai-api-pricing-explained); transcription by
  gpt-4o-mini-transcribe about 0.003 a minute and speech by gpt-4o-mini-tts about 0.015 a minute
  (OpenAI's own estimates, halfpower.work/?p=3800 and community.openai.com/t/1151816).
- Anthropic, per million tokens: Claude Sonnet 4.5 3.00 and 15.00 (as of 25 November 2025,
  docs.rs/cogito-claude, from Anthropic's page of prices).
- RunPod: an H100 in its secure cloud 2.79 an hour (as of 22 May 2026,
  spheron.network/blog/runpod-h100-pricing-2026).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from faregate.catalog.vendors import CreateVendor
from faregate.core.amounts import Number
from faregate.core.costs import Cost

OPENAI: Final = "openai"
ANTHROPIC: Final = "anthropic"
GPU_HOST: Final = "runpod"
VENDORS: Final = (
    CreateVendor("OpenAI", OPENAI),
    CreateVendor("Anthropic", ANTHROPIC),
    CreateVendor("RunPod", GPU_HOST),
)

# By our model: the vendor, theirs, and USD per million tokens in and out.
_TOKENS: Final = {
    "fern-mini": (OPENAI, "gpt-4.1-mini", Decimal("0.40"), Decimal("1.60")),
    "fern-pro": (OPENAI, "gpt-4.1", Decimal("2.00"), Decimal("8.00")),
    "fern-long": (ANTHROPIC, "claude-sonnet-4.5", Decimal("3.00"), Decimal("15.00")),
}
_MINUTE: Final = Decimal("0.003")
_SPOKEN_MINUTE: Final = Decimal("0.015")
_GPU_HOUR: Final = Decimal("2.79")
_MILLION: Final = Decimal(1_000_000)
_SMALLEST: Final = Decimal("0.000000001")


def token_costs(model: str, tokens_in: int, tokens_out: int) -> list[Cost]:
    """Return what so many tokens of one of our models cost: what is read, and what is written."""
    vendor, theirs, rate_in, rate_out = _TOKENS[model]
    return [
        _cost("in", vendor, f"{theirs}: tokens in", tokens_in, rate_in, _MILLION),
        _cost("out", vendor, f"{theirs}: tokens out", tokens_out, rate_out, _MILLION),
    ]


def minute_costs(minutes: int) -> list[Cost]:
    """Return what it costs to write down so many minutes of speech."""
    return [_cost("speech", OPENAI, "speech to text", minutes, _MINUTE, Decimal(1))]


def voice_costs(seconds: int) -> list[Cost]:
    """Return what it costs to speak for so many seconds."""
    return [_cost("voice", OPENAI, "text to speech", seconds, _SPOKEN_MINUTE, Decimal(60))]


def gpu_costs(seconds: int) -> list[Cost]:
    """Return what so many seconds of a GPU cost."""
    return [_cost("gpu", GPU_HOST, "H100, by the second", seconds, _GPU_HOUR, Decimal(3600))]


def _cost(name: str, vendor: str, category: str, volume: int, rate: Decimal, per: Decimal) -> Cost:
    amount = (volume * rate / per).quantize(_SMALLEST, ROUND_HALF_EVEN)
    return Cost(
        name,
        Number(amount),
        vendor_external_id=vendor,
        category=category,
        input_volume=Number(volume),
        volume_rate=Number(rate),
        package_size=Number(per),
    )
