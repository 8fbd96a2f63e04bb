"""Who may sign in: links, roles, passwords, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest
from tests.ledger.shop import Clock

from faregate import Engine
from faregate.core.problems import FaregateError, Problem
from faregate.platform import hashing
from faregate.platform.throttling import FREE_TRIES, FREE_TRIES_OF_ADDRESS, MAX_KNOWN, Throttle

PASSWORD = "correct horse battery"
ADA = "ada@example.com"
HOME = "192.0.2.1"


async def refused(work: Awaitable[object]) -> Problem:
    with pytest.raises(FaregateError) as error:
        await work
    return error.value.problem


async def first_admin(engine: Engine) -> str:
    """Make Ada the first admin; returns her session's secret."""
    invitation = await engine.first_invitation()
    assert invitation is not None
    return await engine.accept_invitation(invitation.secret, "Ada", ADA, PASSWORD)


async def joined(engine: Engine, email: str, role: str) -> str:
    invitation = await engine.invite_operator(email, role, by=None)
    return await engine.accept_invitation(invitation.secret, email, email, PASSWORD)


def test_the_first_admin_comes_in_by_a_link_that_works_once_and_only_while_nobody_is_there(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            old = await engine.first_invitation()
            new = await engine.first_invitation()
            assert old is not None
            assert new is not None
            assert await engine.find_link(old.secret) is None
            assert old.secret not in repr(old)
            made = engine.accept_invitation(new.secret, "Ada", " ADA@Example.com ", PASSWORD)
            again = engine.accept_invitation(new.secret, "Eve", "eve@example.com", PASSWORD)
            answers = await asyncio.gather(made, again, return_exceptions=True)
            (secret,) = [one for one in answers if isinstance(one, str)]
            assert [type(one) for one in answers].count(FaregateError) == 1
            session = await engine.find_session(secret)
            assert session is not None
            assert session.operator.email == (ADA if answers[0] == secret else "eve@example.com")
            assert session.operator.role == "admin"
            assert await engine.first_invitation() is None
            assert (await refused(engine.accept_invitation(new.secret, "E", ADA, PASSWORD))).kind
            assert len(await engine.list_operators()) == 1

    asyncio.run(story())


def test_an_invitation_is_for_one_address_one_use_and_one_day(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            session = await engine.find_session(await first_admin(engine))
            assert session is not None
            by = session.operator.id
            for email, role in ((ADA, "support"), ("nobody", "admin"), ("a@b.c", "king")):
                problem = await refused(engine.invite_operator(email, role, by=by))
                assert set(problem.errors) & {"email", "role"}, email
            sent = await engine.invite_operator("bob@example.com", "support", by=by)
            assert [link.email for link in await engine.list_invitations()] == ["bob@example.com"]

            wrong = engine.accept_invitation(sent.secret, "Eve", "eve@example.com", PASSWORD)
            assert "email" in (await refused(wrong)).errors
            short = engine.accept_invitation(sent.secret, "Bob", "bob@example.com", "short")
            assert "password" in (await refused(short)).errors
            secret = await engine.accept_invitation(sent.secret, "Bob", sent.email, PASSWORD)
            bob = await engine.find_session(secret)
            assert bob is not None
            assert bob.operator.role == "support"
            assert bob.csrf != session.csrf
            again = await refused(engine.accept_invitation(sent.secret, "B", sent.email, PASSWORD))
            assert again.kind.status == 404
            assert "ask an admin" in again.detail

            late = await engine.invite_operator("eve@example.com", "admin", by=by)
            clock.move(hours=24)
            assert await engine.find_link(late.secret) is None
            gone = await engine.invite_operator("eve@example.com", "admin", by=by)
            await engine.withdraw_invitation("eve@example.com")
            assert await engine.find_link(gone.secret) is None
            denied = await refused(engine.invite_operator("x@y.z", "admin", by=bob.operator.id))
            assert denied.kind.status == 403

    asyncio.run(story())


def test_the_last_admin_stays_whatever_two_admins_do_at_once(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await first_admin(engine)
            (ada,) = await engine.list_operators()
            for attempt in (
                engine.disable_operator(ada.id),
                engine.set_operator_role(ada.id, "finance"),
            ):
                problem = await refused(attempt)
                assert problem.kind.status == 409
                assert "make somebody else an admin first" in problem.detail
            await joined(engine, "bob@example.com", "admin")
            bob = (await engine.list_operators())[1]
            done = await asyncio.gather(
                engine.disable_operator(ada.id),
                engine.set_operator_role(bob.id, "support"),
                return_exceptions=True,
            )
            assert [type(one) for one in done].count(FaregateError) == 1
            admins = [
                one
                for one in await engine.list_operators()
                if one.role == "admin" and one.disabled_at is None
            ]
            assert len(admins) == 1

    asyncio.run(story())


def test_a_session_is_new_at_each_sign_in_and_ends_by_time_idleness_and_its_owner(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            first = await first_admin(engine)
            secrets = {first}
            for _ in range(3):
                secrets.add(await engine.sign_in("ADA@example.com", PASSWORD, address=HOME))
            assert len(secrets) == 4
            session = await engine.find_session(first)
            assert session is not None
            listed = await engine.list_operator_sessions(session.operator.id)
            assert len(listed) == 4
            await engine.end_operator_session(session.operator.id, listed[0].id)
            assert len(await engine.list_operator_sessions(session.operator.id)) == 3
            problem = await refused(engine.end_operator_session("opr_other", listed[1].id))
            assert problem.kind.status == 404
            await engine.end_other_sessions(session)
            assert len(await engine.list_operator_sessions(session.operator.id)) == 1
            await engine.sign_out(first)
            assert await engine.find_session(first) is None
            for made_up in ("", "x", first[:-1], first + "x", "é\x00", "x" * 10_000):
                assert await engine.find_session(made_up) is None

            idle = await engine.sign_in(ADA, PASSWORD, address=HOME)
            clock.move(hours=11)
            assert await engine.find_session(idle) is not None
            clock.move(hours=11)
            assert await engine.find_session(idle) is not None
            clock.move(hours=12)
            assert await engine.find_session(idle) is None

            used = await engine.sign_in(ADA, PASSWORD, address=HOME)
            for _ in range(33):
                clock.move(hours=10)
                assert await engine.find_session(used) is not None
            clock.move(hours=6)
            assert await engine.find_session(used) is None

    asyncio.run(story())


def test_disabling_and_a_new_password_end_sessions_at_once(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            here = await first_admin(engine)
            there = await engine.sign_in(ADA, PASSWORD, address=HOME)
            session = await engine.find_session(here)
            assert session is not None
            wrong = await refused(engine.change_password(session, "not my password", "new " * 4))
            assert set(wrong.errors) == {"current_password"}
            weak = await refused(engine.change_password(session, PASSWORD, ADA))
            assert set(weak.errors) == {"password"}
            assert await engine.find_session(there) is not None
            await engine.change_password(session, PASSWORD, "a newer password")
            assert await engine.find_session(here) is not None
            assert await engine.find_session(there) is None

            link = await engine.reset_link(ADA)
            fresh = await engine.use_reset_link(link.secret, PASSWORD)
            assert await engine.find_session(here) is None
            assert await engine.find_session(fresh) is not None
            assert (await refused(engine.use_reset_link(link.secret, PASSWORD))).kind.status == 404

            bob = await joined(engine, "bob@example.com", "finance")
            known = (await engine.list_operators())[1]
            by_link = await engine.sign_in_link(known.id)
            await engine.disable_operator(known.id)
            assert await engine.find_session(bob) is None
            assert await engine.find_link(by_link) is None
            assert (await refused(engine.sign_in(known.email, PASSWORD, address=HOME))).errors
            await engine.enable_operator(known.id)
            by_link = await engine.sign_in_link(known.id)
            assert await engine.find_session(await engine.use_sign_in_link(by_link)) is not None
            assert (await refused(engine.use_sign_in_link(by_link))).kind.status == 404

    asyncio.run(story())


def test_a_refused_sign_in_tells_nobody_who_is_an_operator(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = hashing.Passwords._work

    def counted(self: hashing.Passwords, password: str, stored: str | None) -> str:
        hashed.append("hash" if stored is None else "compare")
        return real(self, password, stored)

    monkeypatch.setattr(hashing.Passwords, "_work", counted)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await first_admin(engine)
            await joined(engine, "off@example.com", "support")
            off = (await engine.list_operators())[1]
            await engine.disable_operator(off.id)
            await refused(engine.sign_in("warm@example.com", "x" * 12, address=HOME))
            answers = []
            for email in (ADA, "nobody@example.com", off.email, "not an address", ""):
                hashed.clear()
                problem = await refused(engine.sign_in(email, "x" * 12, address=HOME))
                answers.append((problem, tuple(hashed)))
            assert len({str(answer) for answer in answers}) == 1
            assert answers[0][1] == ("compare",)

    asyncio.run(story())


def test_guessing_has_to_wait_longer_each_time_also_when_all_guesses_come_at_once(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(f"sqlite:///{tmp_path}/f.db", clock=clock) as engine:
            await first_admin(engine)
            guesses = [engine.sign_in(ADA, f"guess number {n}", address=HOME) for n in range(30)]
            answers = await asyncio.gather(*guesses, return_exceptions=True)
            statuses = [
                one.problem.kind.status for one in answers if isinstance(one, FaregateError)
            ]
            assert statuses.count(422) == FREE_TRIES
            assert statuses.count(429) == 30 - FREE_TRIES
            waits = []
            for _ in range(12):
                problem = await refused(engine.sign_in(ADA, PASSWORD, address="198.51.100.7"))
                assert problem.retry_after_seconds is not None
                assert "try again in" in problem.detail
                waits.append(problem.retry_after_seconds)
                clock.move(seconds=problem.retry_after_seconds)
                assert (await refused(engine.sign_in(ADA, "x" * 12, address=HOME))).errors
            assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
            clock.move(minutes=15)
            assert await engine.sign_in(ADA, PASSWORD, address=HOME)
            assert (await refused(engine.sign_in(ADA, "x" * 12, address=HOME))).errors

    asyncio.run(story())


def test_one_network_cannot_guess_for_many_and_the_table_is_bounded() -> None:
    throttle = Throttle()
    for n in range(FREE_TRIES_OF_ADDRESS):
        assert throttle.begin(f"{n}@example.com", f"2001:db8::{n:x}", 0.0) == 0
    assert throttle.begin("new@example.com", "2001:db8::ffff:1", 0.0) > 0
    assert throttle.begin("new@example.com", "2001:db8:0:1::1", 0.0) == 0
    # Who knows one password does not clear the way for guessing others.
    throttle.succeed("1@example.com", "2001:db8::1")
    assert throttle.begin("a@example.com", "2001:db8::1", 0.0) == 0
    assert throttle.begin("b@example.com", "2001:db8::1", 0.0) > 0
    assert throttle.begin("b@example.com", "2001:db8::1", 90_000.0) == 0
    for n in range(MAX_KNOWN):
        throttle.begin(f"{n}@example.com", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 90_000.0)
    assert len(throttle._tries) <= MAX_KNOWN
