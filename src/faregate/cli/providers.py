"""Who collects money, as the environment says: the keys of payment providers are read from there
alone, and never shown. A setting that cannot work ends the program and is named.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from faregate.cli.settings import refuse
from faregate.payments.external import ExternalSecrets
from faregate.payments.mollie import MollieProvider
from faregate.payments.provider import PaymentProvider

EXTERNAL_SECRET: Final = "FAREGATE_EXTERNAL_SECRET"  # noqa: S105
MOLLIE_TEST_KEY: Final = "FAREGATE_MOLLIE_TEST_API_KEY"
MOLLIE_LIVE_KEY: Final = "FAREGATE_MOLLIE_LIVE_API_KEY"
MOLLIE_API_BASE: Final = "FAREGATE_MOLLIE_API_BASE"
PUBLIC_URL: Final = "FAREGATE_PUBLIC_URL"


def collectors() -> list[PaymentProvider]:
    """Return who collects money for real, or in a provider's own test mode."""
    found = mollie()
    return [] if found is None else [found]


def external_secrets() -> ExternalSecrets | None:
    """Return what the secrets of sellers' own systems are made from; None if there is nothing."""
    secrets = _value(EXTERNAL_SECRET).split()
    if not secrets:
        return None
    try:
        return ExternalSecrets(secrets)
    except ValueError as error:
        refuse(EXTERNAL_SECRET, str(error))


def mollie() -> MollieProvider | None:
    """Return Mollie, if there is a key."""
    keys = {name: _value(name) for name in (MOLLIE_TEST_KEY, MOLLIE_LIVE_KEY)}
    if not any(keys.values()):
        return None
    for name, prefix in ((MOLLIE_TEST_KEY, "test_"), (MOLLIE_LIVE_KEY, "live_")):
        if keys[name] and not keys[name].startswith(prefix):
            refuse(name, f"is no key of this mode: Mollie's begin with {prefix}")
    base, public = _url(MOLLIE_API_BASE), _url(PUBLIC_URL)
    try:
        return MollieProvider(*keys.values(), api_base=base, public_url=public)
    except ValueError as error:
        refuse(" or ".join(name for name, key in keys.items() if key), str(error))


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def _url(name: str) -> str:
    value = _value(name)
    if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        refuse(name, f"{value!r} is no address: write https://host")
    return value
