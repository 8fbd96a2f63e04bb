"""Who collects money, from the environment: secrets are set there and nowhere else, and are never
stored. A setting that cannot work ends the program before it begins, with a sentence that names it
and never shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from faregate.cli.settings import refuse
from faregate.payments.external import ExternalSecrets
from faregate.payments.provider import Merchant, PaymentProvider
from faregate.platform.environments import MODES

if TYPE_CHECKING:
    from faregate.engine import Engine
    from faregate.payments.stripe import StripeKeys

EXTERNAL_SECRET: Final = "FAREGATE_EXTERNAL_SECRET"  # noqa: S105
MOLLIE_TEST_KEY: Final = "FAREGATE_MOLLIE_TEST_API_KEY"
MOLLIE_LIVE_KEY: Final = "FAREGATE_MOLLIE_LIVE_API_KEY"
MOLLIE_API_BASE: Final = "FAREGATE_MOLLIE_API_BASE"
PUBLIC_URL: Final = "FAREGATE_PUBLIC_URL"
STRIPE_BASE: Final = "FAREGATE_STRIPE_API_BASE"
STRIPE_ACCOUNTS: Final = "FAREGATE_STRIPE_ACCOUNTS"
_STRIPE_ACCOUNT: Final = re.compile(r"(acc_[0-9a-z]+)=(acct_\w+)")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def payment_providers(given: Mapping[str, str] = os.environ) -> list[PaymentProvider]:
    """Return who collects money, as the environment says. Refuses settings that cannot work."""
    return [*_stripe(given), *_mollie(given)]


def external_secrets(given: Mapping[str, str] = os.environ) -> ExternalSecrets | None:
    """Return what the secrets of sellers' own systems are made from; None if there is nothing."""
    secrets = _value(given, EXTERNAL_SECRET).split()
    if not secrets:
        return None
    try:
        return ExternalSecrets(secrets)
    except ValueError as error:
        refuse(EXTERNAL_SECRET, str(error))


def doors(providers: Sequence[PaymentProvider], engine: Engine, address: str) -> list[str]:
    """Say where each provider that was set up sends its messages, for each mode."""
    lines: list[str] = []
    for mode in MODES:
        context = engine.context_of(mode)
        merchant = Merchant(context.environment_id, context.account_id, mode == "live")
        for provider in providers:
            if provider.serves(merchant):
                path = f"/payments/messages/{provider.name}/{context.account_id}/{mode}"
                lines.append(f"Messages   {address}{path}   ({provider.name}, {mode} mode)")
    return lines


def _stripe(given: Mapping[str, str]) -> list[PaymentProvider]:
    names = [name for name in given if name.startswith("FAREGATE_STRIPE_") and given[name]]
    if not names:
        return []
    try:
        from faregate.payments.stripe import StripeProvider
    except ImportError:
        remedy = "install the extra: pip install 'faregate[stripe]'"
        refuse(sorted(names)[0], f"Stripe needs its SDK: {remedy}")
    test, live = _stripe_keys(given, "test"), _stripe_keys(given, "live")
    accounts, base = _stripe_accounts(given), _stripe_base(given, is_live=live is not None)
    if test is None and live is None:
        setting = next(n for n in (STRIPE_BASE, STRIPE_ACCOUNTS) if given.get(n))
        refuse(setting, "says nothing without FAREGATE_STRIPE_TEST_SECRET_KEY, or …LIVE…")
    from faregate.engine import system_clock

    return [StripeProvider(system_clock, test=test, live=live, accounts=accounts, api_base=base)]


def _stripe_keys(given: Mapping[str, str], mode: str) -> StripeKeys | None:
    from faregate.payments.stripe import StripeKeys

    key_name = f"FAREGATE_STRIPE_{mode.upper()}_SECRET_KEY"
    hook_name = f"FAREGATE_STRIPE_{mode.upper()}_WEBHOOK_SECRET"
    key, hook = given.get(key_name, ""), given.get(hook_name, "")
    if not key and not hook:
        return None
    if not key:
        refuse(key_name, f"is missing, and {hook_name} is set: set both, or neither")
    if not hook:
        refuse(hook_name, f"is missing, and {key_name} is set: see docs/stripe.md for both")
    beginnings = (f"sk_{mode}_", f"rk_{mode}_")
    if not key.startswith(beginnings) or not key.isascii() or not key.isprintable():
        shown = " or ".join(beginnings)
        refuse(key_name, f"begins with {shown} in the {mode} mode: this is another kind of key")
    secrets = [part.strip() for part in hook.split(",") if part.strip()]
    if not secrets or not all(secret.startswith("whsec_") for secret in secrets):
        refuse(hook_name, "begins with whsec_ (several are separated by commas)")
    return StripeKeys(key, secrets)


def _stripe_base(given: Mapping[str, str], *, is_live: bool) -> str | None:
    base = given.get(STRIPE_BASE) or None
    if base is None:
        return None
    if is_live:
        refuse(STRIPE_BASE, "is for doubles of Stripe, and FAREGATE_STRIPE_LIVE_SECRET_KEY is set")
    parts = urlsplit(base)
    is_safe = parts.scheme == "https" or parts.hostname in _LOOPBACK
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_safe:
        refuse(STRIPE_BASE, "is no address: write https://host, or http:// of this machine")
    return base.rstrip("/")


def _stripe_accounts(given: Mapping[str, str]) -> dict[str, str]:
    accounts: dict[str, str] = {}
    for part in given.get(STRIPE_ACCOUNTS, "").split(","):
        if not part.strip():
            continue
        found = _STRIPE_ACCOUNT.fullmatch(part.strip())
        if found is None:
            reason = f"{part.strip()[:100]!r} is not of the form acc_…=acct_…"
            refuse(STRIPE_ACCOUNTS, reason)
        if found[1] in accounts or found[2] in accounts.values():
            refuse(STRIPE_ACCOUNTS, f"{part.strip()[:100]!r} repeats an account: name each once")
        accounts[found[1]] = found[2]
    return accounts


def _mollie(given: Mapping[str, str]) -> list[PaymentProvider]:
    keys = {name: _value(given, name) for name in (MOLLIE_TEST_KEY, MOLLIE_LIVE_KEY)}
    if not any(keys.values()):
        return []
    for name, prefix in ((MOLLIE_TEST_KEY, "test_"), (MOLLIE_LIVE_KEY, "live_")):
        if keys[name] and not keys[name].startswith(prefix):
            refuse(name, f"is no key of this mode: Mollie's begin with {prefix}")
    base, public = _url(given, MOLLIE_API_BASE), _url(given, PUBLIC_URL)
    # Only now: its library brings another HTTP client with it.
    from faregate.payments.mollie import MollieProvider

    try:
        return [MollieProvider(*keys.values(), api_base=base, public_url=public)]
    except ValueError as error:
        refuse(" or ".join(name for name, key in keys.items() if key), str(error))


def _value(given: Mapping[str, str], name: str) -> str:
    return given.get(name, "").strip()


def _url(given: Mapping[str, str], name: str) -> str:
    value = _value(given, name)
    if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        refuse(name, f"{value!r} is no address: write https://host")
    return value
