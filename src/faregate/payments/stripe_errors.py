"""Stripe's refusals and failures in our own words. None of them holds an answer or a key of
Stripe's: what they say may be logged and shown.

Its kinds of errors: docs.stripe.com/api/errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import stripe

from faregate.payments.provider import PaymentState, ProviderDown, ProviderRefused
from faregate.payments.stripe_objects import MAX_TEXT, code_of

_NOT_FOUND: Final = 404
_SECRETS: Final = re.compile(r"\b(?:sk|rk|pk|whsec)_\w+[\w*]*")
_PERMISSION: Final = re.compile(r"\brak_\w+")


class AskedOtherwise(ProviderDown):
    """The same idempotency key was used with other parameters: what came of those is not told."""


@contextmanager
def speaking_plainly(otherwise: str = "misconfigured") -> Iterator[None]:
    """Turn the SDK's errors into ours; a refusal of what was asked that we do not know has the code
    `otherwise`."""
    try:
        yield
    except stripe.IdempotencyError:
        raise AskedOtherwise("it was asked before, in other words") from None
    except stripe.CardError as error:
        code = code_of(error.code, None)
        raise ProviderRefused(code, _plain(error, "The card was declined.")) from None
    except stripe.InvalidRequestError as error:
        is_missing = error.http_status == _NOT_FOUND
        code = "no_such_payment" if is_missing else code_of(error.code, None, otherwise)
        raise ProviderRefused(code, _plain(error, "Stripe refuses it.")) from None
    except stripe.AuthenticationError:
        text = "Stripe does not take the secret key: set the one of your Stripe account."
        raise ProviderRefused("misconfigured", text) from None
    except stripe.PermissionError as error:
        missing = _PERMISSION.search(str(error))
        shown = f": it lacks {missing[0]}" if missing else ""
        text = f"Stripe does not allow this to the key{shown} (see docs/stripe.md)."
        raise ProviderRefused("misconfigured", text) from None
    except stripe.APIConnectionError:
        raise ProviderDown("Stripe did not answer") from None
    except stripe.StripeError as error:
        raise ProviderDown(f"Stripe answered {error.http_status}") from None


def _plain(error: stripe.StripeError, otherwise: str) -> str:
    return _SECRETS.sub("…", error.user_message or otherwise)[:MAX_TEXT]


def declined_state(error: stripe.CardError) -> PaymentState:
    """Return the failed payment that a declined card comes to."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    told = body.get("error", {})
    intent = told.get("payment_intent")
    code = code_of(error.code, told.get("decline_code"))
    text = _plain(error, "The card was declined.")
    ref = intent.get("id") if isinstance(intent, dict) else None
    return PaymentState("failed", ref, code=code, text=text)
