import httpx
from tests.web.live import TOKEN


def test_without_the_token_there_is_a_form_and_no_numbers(stranger: httpx.Client):
    page = stranger.get("/")
    assert page.status_code == 200
    assert "Sign-in token" in page.text
    assert "Wallets" not in page.text
    assert stranger.get("/test/now").status_code == 401


def test_the_link_sets_a_cookie_that_is_not_the_token_and_leaves_the_address_bar(
    stranger: httpx.Client,
):
    answer = stranger.get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/test"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    assert "Wallets" in stranger.get("/test").text


def test_the_form_signs_in(stranger: httpx.Client):
    assert stranger.post("/sign-in", data={"token": TOKEN}).status_code == 303
    assert stranger.get("/test/now").status_code == 200


def test_a_wrong_token_is_refused_in_words_by_the_form_and_by_the_link(stranger: httpx.Client):
    for answer in (
        stranger.post("/sign-in", data={"token": "wrong"}),
        stranger.get("/", params={"token": "wröng"}),
        stranger.get("/", params={"token": ""}),
    ):
        assert answer.status_code == 401
        assert "not this server's token" in answer.text
        assert "set-cookie" not in answer.headers


def test_a_made_up_cookie_is_refused(stranger: httpx.Client):
    for value in ("x", TOKEN, "0" * 64):
        headers = {"Cookie": f"faregate_page={value}"}
        assert stranger.get("/test/now", headers=headers).status_code == 401


def test_a_form_of_a_megabyte_is_refused(stranger: httpx.Client):
    answer = stranger.post("/sign-in", content=b"token=" + b"a" * 1_000_000)
    assert answer.status_code == 401


def test_every_answer_forbids_foreign_scripts_frames_and_referrers(client: httpx.Client):
    for path in ("/test", "/test/now", "/static/dashboard.js", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
