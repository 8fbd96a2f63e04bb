"""Assistants that operators let in: the page on which somebody who is signed in says yes or no to a
program that asks, and the list of those that may act in an operator's name.

What a program says of itself is not to be believed: its name is shown as a claim, and where the
answer goes is shown beside it. An address that the program has not registered is led to by nothing.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.responses import RedirectResponse, Response

from faregate.core.problems import FORBIDDEN, NOT_FOUND, FaregateError, Problem, invalid
from faregate.platform.environments import Mode
from faregate.platform.oauth_clients import OauthClient, is_loopback
from faregate.platform.oauth_grants import ROLES_OF, Consent
from faregate.web.dashboard.connecting import FIRST_WORDS, ways_to
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.rendering import NO_STORE, POLICY

ASKED: Final = ("client_id", "redirect_uri", "code_challenge", "state")
MAX_STATE: Final = 1_000
MAX_ACCOUNTS: Final = 100
ROLE_WORDS: Final = {
    "admin": "everything; live money only after you confirm",
    "ingest": "report use; live charges only after you confirm",
    "read": "look at everything, change nothing",
}
MODES: Final = [
    ("test", "Test mode: nothing real is touched"),
    ("live", "Live mode: real customers, real money"),
]
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


async def show(visit: Visit) -> Response:
    """List the assistants: an admin sees everybody's, others their own."""
    found = await visit.engine.list_assistants()
    ended = await visit.engine.list_ended_assistants()
    if not visit.may("admin"):
        found = [one for one in found if one.operator_id == visit.operator.id]
        ended = [one for one in ended if one.operator_id == visit.operator.id]
    return visit.render(
        "assistants.html",
        section="assistants",
        title="Assistants",
        grants=found,
        ended=ended,
        address=f"{visit.base_url}/mcp",
        ways=ways_to(f"{visit.base_url}/mcp"),
        command=f"faregate mcp install claude-code --url {visit.base_url} --write",
        first_words=FIRST_WORDS,
    )


async def end(visit: Visit) -> Response:
    """End what was allowed an assistant. Raises 403 for somebody else's, 404."""
    wanted = visit.path["grant_id"]
    for one in await visit.engine.list_assistants():
        if one.id == wanted and not (visit.may("admin") or one.operator_id == visit.operator.id):
            detail = "it acts in somebody else's name: ask them, or an admin"
            raise FaregateError(Problem(FORBIDDEN, detail))
    await visit.engine.end_assistant(wanted, f"{visit.operator_name} ended it")
    return visit.go("assistants", "The assistant is out: its tokens open nothing any more.")


async def ask(visit: Visit) -> Response:
    """Ask whether a program may act in the name of whoever is signed in."""
    if "client_id" not in visit.query:
        return await show(visit)
    asked = {name: visit.query.get(name, "") for name in ASKED}
    try:
        client = await _client(visit, asked)
    except FaregateError as error:
        return _refused(visit, error.problem)
    return await _form(visit, client, asked)


async def answer(visit: Visit) -> Response:
    """Take the answer, and lead back to the program with a code or a no."""
    form = await visit.form()
    asked = {name: form.get(name) for name in ASKED}
    try:
        client = await _client(visit, asked)
        if form.get("answer") != "allow":
            visit.refused_because = "the operator said no"
            return _lead_back(visit, asked, error="access_denied")
        consent = await _consent(visit, asked)
        code = await visit.engine.allow_assistant(consent, visit.operator)
    except FaregateError as error:
        return _refused(visit, error.problem)
    visit.has_made = client.id
    return _lead_back(visit, asked, code=code)


async def _client(visit: Visit, asked: dict[str, str]) -> OauthClient:
    """Return who asks. Raises `FaregateError` for what is no request of a registered client: then
    nothing is sent to the address that it names."""
    client = await visit.engine.find_oauth_client(asked["client_id"])
    if client is None:
        detail = "this program is not known (any more): begin again in the assistant"
        raise FaregateError(Problem(NOT_FOUND, detail))
    if not client.may_redirect(asked["redirect_uri"]):
        detail = "the address for the answer is not one that this program has registered"
        raise FaregateError(invalid("redirect_uri", detail))
    if not _CHALLENGE.fullmatch(asked["code_challenge"]) or len(asked["state"]) > MAX_STATE:
        detail = "this is not what a program would ask: begin again in the assistant"
        raise FaregateError(invalid("code_challenge", detail))
    return client


async def _consent(visit: Visit, asked: dict[str, str]) -> Consent:
    form = await visit.form()
    mode: Mode = "live" if form.get("mode") == "live" else "test"
    role = form.get("role")
    for known in ROLES_OF[visit.operator.role]:
        if known == role:
            account = form.get("account") or visit.context.account_id
            context = await visit.engine.acting_for(account, mode)
            return Consent(
                asked["client_id"],
                asked["redirect_uri"],
                asked["code_challenge"],
                visit.operator.id,
                context.environment_id,
                known,
            )
    detail = f"your role is {visit.role}, so you cannot allow {role[:50]!r}"
    raise FaregateError(Problem(FORBIDDEN, detail))


async def _form(visit: Visit, client: OauthClient, asked: dict[str, str]) -> Response:
    roles = ROLES_OF[visit.operator.role]
    found = await visit.engine.list_accounts(MAX_ACCOUNTS)
    accounts = [(visit.context.account_id, f"{visit.context.name} (the platform)")]
    accounts += [(one.id, one.name) for one in found.items]
    uri = urlsplit(asked["redirect_uri"])
    is_here = is_loopback(asked["redirect_uri"])
    page = visit.render(
        "connect.html",
        section="assistants",
        title="Connect an assistant",
        client=client,
        asked=asked,
        host="a program on this computer" if is_here else uri.netloc,
        is_here=is_here,
        roles=[(role, f"{role.capitalize()}: {ROLE_WORDS[role]}") for role in reversed(roles)],
        modes=MODES,
        accounts=accounts,
    )
    # Browsers hold a form's redirects to the policy, too; this one's may lead to the program.
    # It cannot name an address of IPv6.
    is_named = not uri.netloc.startswith("[")
    origin = f"{uri.scheme}://{uri.netloc}" if is_named else f"{uri.scheme}:"
    page.headers["content-security-policy"] = POLICY.replace(
        "form-action 'self'", f"form-action 'self' {origin}"
    )
    return page


def _lead_back(visit: Visit, asked: dict[str, str], **said: str) -> Response:
    """Lead to the program, with who we are (RFC 9207)."""
    uri = asked["redirect_uri"]
    if asked["state"]:
        said["state"] = asked["state"]
    said["iss"] = visit.base_url
    where = f"{uri}{'&' if '?' in uri else '?'}{urlencode(said)}"
    return RedirectResponse(where, 303, headers=NO_STORE)


def _refused(visit: Visit, problem: Problem) -> Response:
    return visit.render("refused.html", problem.kind.status, problem=problem)


PAGES: Final = (
    Page("assistants", show),
    Page("assistants/connect", ask),
    Page("assistants/connect", answer, "POST", "own", action="let an assistant in"),
    Page("assistants/{grant_id}/end", end, "POST", "own", action="end an assistant"),
)
