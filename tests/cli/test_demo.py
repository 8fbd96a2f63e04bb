"""`faregate demo` as somebody who tries it has it: a process, its pages, the files it leaves."""

import asyncio
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright
from tests.cli.running import run, running

from faregate import Engine
from faregate.cli.demo_file import DemoFile, demo_file, own_place

SMALL = ("--port", "0", "--events", "200")
PASSWORD = "a pass phrase of mine"


@pytest.mark.slow
def test_the_demo_builds_a_month_whose_books_balance_until_a_row_is_changed(tmp_path: Path):
    kept = f"sqlite:///{tmp_path / 'demo.db'}"
    done = run("demo", *SMALL, "--no-stay", "--database", kept)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.match(r" 1\d%  ", lines[0])
    assert "60 customers" in done.stdout
    assert "the books balance" in done.stdout
    assert lines[-1] == f"Kept: --database {kept}"
    clean = run("verify", "--database", kept)
    assert "The books balance." in clean.stdout, clean.stderr
    with sqlite3.connect(tmp_path / "demo.db") as connection:
        connection.execute(
            "UPDATE grants SET remaining_units = remaining_units + 1 WHERE grant_id = "
            "(SELECT min(grant_id) FROM grants)"
        )
    connection.close()
    wrong = run("verify", "--database", kept)
    assert wrong.returncode == 1
    assert "grant grt_" in wrong.stdout


@pytest.mark.slow
def test_the_demo_leaves_nothing_behind(tmp_path: Path):
    done = run("demo", *SMALL, "--no-stay", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///{folder}/mine.db", "mine.db' is there, and no demo"),
        ("sqlite:///{folder}/none/demo.db", "make it first"),
        ("postgresql://somebody@somewhere/name", "the demo runs on one"),
    ],
)
def test_the_demo_touches_no_database_that_is_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, said: str
):
    mine = tmp_path / "mine.db"
    mine.write_text("what I have")
    with pytest.raises(SystemExit) as ended:
        demo_file(url.format(folder=tmp_path))
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "--database" in shown
    assert mine.read_text() == "what I have"
    assert list(tmp_path.iterdir()) == [mine]


def write(path: Path, words: str) -> Path:
    """Make a database that says this."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE said (words TEXT)")
        connection.execute("INSERT INTO said VALUES (?)", (words,))
        connection.commit()
    return path


def said(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT words FROM said").fetchone()[0])


class Steps:
    """So many steps that a process still makes before it dies."""

    def __init__(self, left: int) -> None:
        self.left = left

    def counted(self, does: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **more: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return does(*given, **more)

        return step


def test_a_file_that_took_the_place_of_the_demos_own_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = DemoFile(tmp_path / "demo.db")
    write(file.building, "a month")
    file.put_in_place()
    assert file.is_free
    write(file.building, "the next month")
    file.put_in_place()
    assert said(file.path) == "the next month"
    assert demo_file(file.url).path == file.path
    write(tmp_path / "other", "mine").replace(file.path)
    assert not file.is_free
    write(file.building, "another month")
    for refused in (file.put_in_place, lambda: file.become(file.path)):
        with pytest.raises(FileExistsError):
            refused()
    file.give_up()
    assert said(file.path) == "mine"
    # What somebody makes theirs goes where nothing is.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    first = own_place(file, stays=False)
    assert first.name == "faregate.db"
    file.become(first)
    assert said(first) == "another month"
    assert own_place(file, stays=False).name == "faregate-2.db"


def test_a_new_file_with_the_number_of_a_demo_that_is_gone_is_not_taken_for_it(tmp_path: Path):
    file = DemoFile(tmp_path / "demo.db")
    write(file.building, "a month")
    file.put_in_place()
    mine = write(tmp_path / "mine", "mine").read_bytes()
    number = file.path.stat().st_ino
    # As many file systems do where a file was removed and another one is made.
    file.path.write_bytes(mine)
    assert file.path.stat().st_ino == number
    assert not file.is_free
    with pytest.raises(SystemExit):
        demo_file(file.url)
    file.give_up()
    assert said(file.path) == "mine"


@pytest.mark.parametrize("becomes", [False, True])
def test_who_dies_while_one_file_takes_anothers_place_leaves_one_of_them_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: bool
):
    mine = write(tmp_path / "mine", "mine").read_bytes()
    seen = []
    for dies_at in range(20):
        folder = tmp_path / str(dies_at)
        folder.mkdir()
        file = DemoFile(folder / "demo.db")
        write(file.building, "before")
        file.put_in_place()
        write(file.building, "after")
        steps = Steps(dies_at)
        with monkeypatch.context() as patched:
            for name in ("unlink", "replace", "write_text"):
                patched.setattr(Path, name, steps.counted(getattr(Path, name)))
            with suppress(KeyboardInterrupt):
                file.become(file.path) if becomes else file.put_in_place()
        seen.append(said(file.path))
        if seen[-1] == "after" and becomes:
            assert not file.is_free
        else:
            assert file.is_free
        file.path.write_bytes(mine)
        assert not file.is_free
        if steps.left:
            break
    assert seen == sorted(seen, reverse=True)
    assert {"before", "after"} == set(seen)


class Tried:
    """A demo that runs, and somebody who looks at it."""

    def __init__(self, process: Popen[str]) -> None:
        assert process.stdout is not None
        self.said: list[str] = []
        self._lines = process.stdout
        link = self.next_link()
        base = "/".join(link.split("/")[:3])
        self.client = httpx.Client(base_url=base, follow_redirects=True, timeout=30)
        self.client.get(link)

    def next_link(self) -> str:
        """Read on to the next link to the dashboard."""
        for line in self._lines:
            self.said.append(line)
            found = re.match(r"Dashboard +(\S+)", line)
            if found is not None:
                return found[1]
        raise AssertionError("".join(self.said))

    def next_portal(self) -> str:
        """Read on to the next link to a customer's portal."""
        return next(line.split()[1] for line in self._lines if line.startswith("Portal "))

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path: str, **form: str) -> httpx.Response:
        """Send a form of the demo's page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page("/test/demo"))
        assert found is not None
        return self.client.post(path, data={"csrf": found[1], **form})

    def wait_until_led_on(self, answer: httpx.Response) -> httpx.Response:
        """Wait on the page on which a change leaves us, as a browser without scripts does."""
        ends = time.monotonic() + 60
        while answer.url.path == "/demo/ready":
            assert answer.status_code == 200
            assert re.search(r"\d+% · ", answer.text)
            assert time.monotonic() < ends
            answer = self.client.get(answer.url)
        return answer


def reset_in_a_browser(tried: Tried) -> None:
    """Look at the demo's page in both themes, on a telephone, and reset it as people do."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    base = str(tried.client.base_url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 390, "height": 844})
        context.add_cookies([{"name": n, "value": v, "url": base} for n, v in cookies_of(tried)])
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{base}/test/demo")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert_accessible(page)
        page.get_by_role("button", name="Reset the demo").click()
        page.wait_for_url("**/demo/ready?ticket=*")
        expect(page.get_by_role("status")).to_contain_text("events")
        assert_accessible(page)
        page.wait_for_url(f"{base}/test", timeout=60_000)
        tried.client.cookies.clear()
        for cookie in context.cookies():
            tried.client.cookies.set(cookie["name"], cookie["value"])
        browser.close()


def cookies_of(tried: Tried) -> list[tuple[str, str]]:
    return [(cookie.name, cookie.value or "") for cookie in tried.client.cookies.jar]


def assert_accessible(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Tried]:
    kept = f"sqlite:///{tmp_path / 'demo.db'}"
    with running("demo", *SMALL, "--rate", "40", "--database", kept) as process:
        yield Tried(process)


def events_of(path: Path) -> int:
    async def count() -> int:
        async with Engine.open(f"sqlite:///{path}", serves=False) as engine:
            return (await engine.list_events(1)).total_count

    return asyncio.run(count())


@pytest.mark.slow
def test_traffic_flows_it_is_reset_and_made_ones_own_with_its_products_and_nothing_else(
    tried: Tried, tmp_path: Path
):
    path = tmp_path / "demo.db"
    door = httpx.get(tried.next_portal()).text
    assert "Continue" in door
    assert "Fernglass" in door
    assert "the data is made up" in tried.page("/test")
    before, ends = events_of(path), time.monotonic() + 30
    while events_of(path) < before + 10:
        assert time.monotonic() < ends, "no traffic"

    # A reset that cannot be says so, and the demo goes on.
    in_the_way = tmp_path / "demo.db.building"
    in_the_way.mkdir()
    led = tried.wait_until_led_on(tried.send("/test/demo/reset"))
    assert led.url.path == "/test/demo"
    assert "could not be built anew" in led.text
    in_the_way.rmdir()

    # Reset: another month, into which we are led signed in.
    number = path.stat().st_ino
    reset_in_a_browser(tried)
    assert path.stat().st_ino != number
    assert "the data is made up" in tried.page("/test")
    assert tried.client.get("/demo/ready", params={"ticket": "guessed"}).url.path == "/test"

    # What cannot be is said beside its field, and changes nothing.
    form = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "products": "yes"}
    refused = tried.send("/test/demo/mine", **form, again="another")
    assert refused.status_code == 422
    assert "differs from the password above" in refused.text
    assert 'value="ada@example.com"' in refused.text
    assert PASSWORD not in refused.text
    short = form | {"password": "short"}
    refused = tried.send("/test/demo/mine", **short, again="short")
    assert refused.status_code == 422
    assert 'id="e-password"' in refused.text
    assert events_of(path) > 0

    led = tried.wait_until_led_on(tried.send("/test/demo/mine", **form, again=PASSWORD))
    assert led.url.path == "/test"
    assert "the data is made up" not in led.text
    assert tried.client.get("/test/demo").status_code == 404
    assert events_of(path) == 0
    with httpx.Client(base_url=tried.client.base_url) as other:
        sent = {"email": "ada@example.com", "password": PASSWORD}
        assert other.post("/sign-in", data=sent).status_code == 303
        assert "Ada" in other.get("/test").text

    async def look() -> None:
        async with Engine.open(f"sqlite:///{path}", serves=False) as engine:
            assert (await engine.list_customers()).total_count == 0
            assert (await engine.list_products()).total_count == 6
            assert (await engine.list_coupons()).total_count == 0
            assert await engine.list_webhook_destinations() == []
            assert await engine.list_keys() == []
            (admin,) = await engine.list_operators()
            assert (admin.email, admin.role) == ("ada@example.com", "admin")

    asyncio.run(look())
    assert sorted(one.name for one in tmp_path.iterdir() if "-" not in one.name) == ["demo.db"]
