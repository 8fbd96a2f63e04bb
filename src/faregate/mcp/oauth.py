"""How an assistant gets a token: OAuth 2.1 with PKCE, as the Model Context Protocol's part on
authorization asks for, by the SDK's own handlers. What is kept and what counts is the engine's;
consent is a page of the dashboard. Tokens open `/mcp` and nothing else.

Where we are found is what each request says (behind a proxy that ends TLS: what the proxy says), so
metadata is written for each request, and names no address but the one that was asked.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import ClientAuthenticator
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    RegistrationError,
    TokenError,
)
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import InvalidRedirectUriError, OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl, TypeAdapter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from faregate.core.problems import INVALID, OVERLOADED, UNAVAILABLE, FaregateError, Problem
from faregate.engine import Engine
from faregate.mcp.calling import PATH
from faregate.mcp.places import METADATA, RESOURCE_METADATA, base_of, is_safe
from faregate.platform.oauth_clients import OauthClient
from faregate.platform.oauth_grants import ACCESS_LASTS, Grant, TokenPair

MAX_STATE: Final = 1_000
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_URI: Final = TypeAdapter(AnyUrl)
_PUBLIC: Final = "none"
"""How a client without a secret is told at the token's address (RFC 7591, section 2)."""
_NO_STORE: Final = {"cache-control": "no-store"}
_SOON: Final = 60
"""The SDK compares expiries with a clock of its own; ours has decided before, so none is near."""


class _Client(OAuthClientInformationFull):
    """A client as the SDK sees it: without a secret, and with no say in scopes, because the person
    who consents chooses what it may do."""

    def validate_scope(self, requested_scope: str | None) -> list[str] | None:
        """Pass over what the client would like."""
        return []

    def validate_redirect_uri(self, redirect_uri: AnyUrl | None) -> AnyUrl:
        """Return the address of the client's that was asked for. Raises if it is not one."""
        uris = [str(one) for one in self.redirect_uris or []]
        if redirect_uri is None and len(uris) == 1:
            return _URI.validate_python(uris[0])
        known = OauthClient(self.client_id, "", uris, datetime.min)
        if redirect_uri is None or not known.may_redirect(str(redirect_uri)):
            raise InvalidRedirectUriError("redirect_uri is not one that the client has registered")
        return redirect_uri


class _Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Answers the SDK's handlers for one request."""

    def __init__(self, engine: Engine, base_url: str, address: str) -> None:
        self._engine = engine
        self._base_url = base_url
        self._address = address

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        """Find a client."""
        found = await self._engine.find_oauth_client(client_id)
        if found is None:
            return None
        uris = [_URI.validate_python(uri) for uri in found.redirect_uris]
        return _Client(
            client_id=found.id,
            client_name=found.name,
            redirect_uris=uris,
            token_endpoint_auth_method=_PUBLIC,
        )

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Write a client down, and say so in what the SDK answers."""
        # As addresses look when they come back in a request to authorize.
        uris = [str(_URI.validate_python(str(uri))) for uri in client_info.redirect_uris or []]
        try:
            made = await self._engine.register_oauth_client(
                client_info.client_name or "", uris, self._address
            )
        except FaregateError as error:
            if error.problem.kind is OVERLOADED:
                raise
            raise RegistrationError("invalid_redirect_uri", error.problem.detail) from None
        client_info.client_id = made.id
        client_info.client_name = made.name
        client_info.client_secret = None
        client_info.client_secret_expires_at = None
        client_info.token_endpoint_auth_method = _PUBLIC
        client_info.scope = None

    async def authorize(
        self, client: OAuthClientInformationFull, params: AuthorizationParams
    ) -> str:
        """Return the address of the page where a person consents, or does not."""
        ours = (self._base_url, f"{self._base_url}/", f"{self._base_url}{PATH}")
        if params.resource is not None and params.resource not in ours:
            raise AuthorizeError("invalid_target", f"tokens are for {ours[-1]} alone")
        if not _CHALLENGE.fullmatch(params.code_challenge):
            raise AuthorizeError("invalid_request", "code_challenge is not a SHA-256 in base64url")
        if len(params.state or "") > MAX_STATE:
            raise AuthorizeError("invalid_request", f"state has more than {MAX_STATE} characters")
        asked = {
            "client_id": client.client_id,
            "redirect_uri": str(params.redirect_uri),
            "code_challenge": params.code_challenge,
            "state": params.state or "",
        }
        return f"{self._base_url}/test/assistants/connect?{urlencode(asked)}"

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        """Find a code that can be exchanged."""
        found = await self._engine.find_oauth_code(authorization_code, client.client_id)
        if found is None:
            return None
        consent = found.consent
        return AuthorizationCode(
            code=authorization_code,
            scopes=[consent.role],
            expires_at=time.time() + _SOON,
            client_id=consent.client_id,
            code_challenge=consent.challenge,
            redirect_uri=_URI.validate_python(consent.redirect_uri),
            redirect_uri_provided_explicitly=True,
        )

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        """Make tokens of a code, once."""
        return _token(
            await self._engine.exchange_oauth_code(
                authorization_code.code, client.client_name or ""
            )
        )

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        """Find what a token that brings the next ones is of."""
        found = await self._engine.find_refreshable(refresh_token)
        if found is None:
            return None
        return RefreshToken(
            token=refresh_token, client_id=found.client_id, scopes=[found.role], expires_at=None
        )

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        """Make the next tokens, once."""
        return _token(await self._engine.refresh_assistant(refresh_token.token))

    async def load_access_token(self, token: str) -> AccessToken | None:
        """Find what a token opens."""
        found = await self._engine.find_assistant(token)
        if found is None:
            return None
        return AccessToken(token=token, client_id=found.client_id, scopes=[found.role])

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        """End the grant that a token is of."""
        found: Grant | None
        if isinstance(token, AccessToken):
            found = await self._engine.find_assistant(token.token)
        else:
            found = await self._engine.find_refreshable(token.token)
        if found is not None:
            await self._engine.end_assistant(found.id, "the assistant gave it back")


def _token(pair: TokenPair | None) -> OAuthToken:
    if pair is None:
        raise TokenError("invalid_grant", "it was used already, is too old, or was ended")
    return OAuthToken(
        access_token=pair.access,
        expires_in=int(ACCESS_LASTS.total_seconds()),
        refresh_token=pair.refresh,
        scope=pair.role,
    )


class _Endpoints:
    """What an authorization server has to answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _provider(self, request: Request) -> _Provider:
        address = request.client.host if request.client else ""
        return _Provider(self._engine, _base(request), address)

    async def resource(self, request: Request) -> Response:
        """Say who gives tokens for `/mcp` (RFC 9728)."""
        base = _base(request)
        answer = {
            "resource": f"{base}{PATH}",
            "authorization_servers": [base],
            "bearer_methods_supported": ["header"],
            "resource_name": "Faregate",
        }
        return JSONResponse(answer, headers=_NO_STORE)

    async def server(self, request: Request) -> Response:
        """Say where what is (RFC 8414)."""
        base = _base(request)
        answer = {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": f"{base}/oauth/token",
            "registration_endpoint": f"{base}/oauth/register",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(answer, headers=_NO_STORE)

    async def authorize(self, request: Request) -> Response:
        """Lead a person to the page where they consent."""
        return await AuthorizationHandler(self._provider(request)).handle(request)

    async def token(self, request: Request) -> Response:
        """Exchange a code or a token."""
        provider = self._provider(request)
        handler = TokenHandler(provider, ClientAuthenticator(provider))
        answer: Response = await handler.handle(request)
        return answer

    async def register(self, request: Request) -> Response:
        """Register a client (RFC 7591)."""
        options = ClientRegistrationOptions(enabled=True)
        return await RegistrationHandler(self._provider(request), options).handle(request)

    async def revoke(self, request: Request) -> Response:
        """Give a token back (RFC 7009)."""
        # Not by the SDK's handler, which asks every client for a secret.
        form = await request.form()
        provider = self._provider(request)
        client = await provider.get_client(str(form.get("client_id", "")))
        token = form.get("token")
        if client is None or not isinstance(token, str):
            detail = "send client_id, of a client that is registered, and token"
            raise FaregateError(Problem(INVALID, detail))
        found = await provider.load_access_token(token) or await provider.load_refresh_token(
            client, token
        )
        if found is not None and found.client_id == client.client_id:
            await provider.revoke_token(found)
        return Response(headers=_NO_STORE)


def _base(request: Request) -> str:
    """Return where we were found. Raises 422 if no token may travel there."""
    base = base_of(request.scope)
    if not base or not is_safe(base):
        detail = (
            "assistants get tokens by https, or on the machine that Faregate runs on: put TLS in "
            "front, or use an API key"
        )
        raise FaregateError(Problem(INVALID, detail))
    return base


async def _refuse(_request: Request, error: Exception) -> Response:
    """Answer in OAuth's words (RFC 6749, section 5.2)."""
    if not isinstance(error, FaregateError):
        raise error
    problem = error.problem
    is_later = problem.kind in (OVERLOADED, UNAVAILABLE)
    said = {
        "error": "temporarily_unavailable" if is_later else "invalid_request",
        "error_description": problem.detail,
    }
    headers = dict(_NO_STORE)
    if problem.retry_after_seconds is not None:
        headers["retry-after"] = str(problem.retry_after_seconds)
    return JSONResponse(said, problem.kind.status if is_later else 400, headers)


def oauth_app(engine: Engine) -> Starlette:
    """Make the application that answers under `/oauth/` and `/.well-known/oauth-…`."""
    ends = _Endpoints(engine)
    # Assistants that are pages of a browser ask from there. None of this knows a cookie.
    crossing = Middleware(
        CORSMiddleware,
        allow_origins=("*",),
        allow_methods=("GET", "POST"),
        allow_headers=("mcp-protocol-version",),
    )
    return Starlette(
        routes=[
            Route(RESOURCE_METADATA, ends.resource),
            Route(f"{RESOURCE_METADATA}{PATH}", ends.resource),
            Route(METADATA, ends.server),
            Route("/oauth/authorize", ends.authorize),
            Route("/oauth/token", ends.token, methods=["POST"]),
            Route("/oauth/register", ends.register, methods=["POST"]),
            Route("/oauth/revoke", ends.revoke, methods=["POST"]),
        ],
        exception_handlers={FaregateError: _refuse},
        middleware=[crossing],
    )
