"""Passwords are judged by their length and what others can know; secrets are never written down."""

import pytest

from faregate.core.passwords import check_password, normal_password
from faregate.core.redacting import MAX_TEXT, redacted

EMAIL = "ada.lovelace@example.com"


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "has 0 characters: use at least 10"),
        ("nine char", "has 9 characters: use at least 10"),
        ("x" * 129, "has 129 characters: use at most 128"),
        ("Ada.Lovelace@example.com", "is the e-mail address"),
        ("          ", "is one character again and again"),
    ],
)
def test_a_password_that_is_not_good_enough_is_refused_in_words(password: str, words: str) -> None:
    problem = check_password(password, EMAIL)
    assert problem is not None
    (message,) = problem.errors["password"]
    assert words in message
    assert not password.strip() or password not in message


@pytest.mark.parametrize("password", ["ten letter", "abcdefghij" * 12, "一二三四五六七八九十"])
def test_a_long_password_needs_no_digits_and_no_signs(password: str) -> None:
    assert check_password(password, EMAIL) is None


def test_two_keyboards_spell_one_password_alike() -> None:
    assert normal_password("cafe\u0301") == normal_password("caf\u00e9")


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "password-again", "secret", "old_secret", "csrf", "csrf_token",
     "apiKey", "api-key", "clientSecret", "Authorization", "card_number", "tokens"],
)  # fmt: skip
def test_fields_that_are_called_like_secrets_are_hidden_at_any_depth(name: str) -> None:
    given = {"outer": [{name: "Zq7x", "name": "Ada"}]}
    assert redacted(given) == {"outer": [{name: "•••", "name": "Ada"}]}


@pytest.mark.parametrize(
    "text",
    ["fg_live_Zq7xSecretSecretSecretSecret", "see whsec_Zq7xabcdefgh123+/=", "sk_test_Zq7x12345",
     "live_Zq7x" + "a" * 30, "https://ada:Zq7x@x.example/hook", "https://x.example/hook?key=Zq7x",
     "https://x.example/#Zq7x"],
)  # fmt: skip
def test_texts_that_look_like_secrets_are_hidden_under_any_name(text: str) -> None:
    shown = redacted({"note": text, text: 1})
    assert "Zq7x" not in str(shown)
    assert "•••" in shown["note"]


def test_other_values_stay_as_they_are() -> None:
    given = {"name": "Ada", "amount": 12, "keyboard": "de", "idempotency_key": "a", "on": None}
    assert redacted(given) == given
    assert redacted({"url": "https://x.example/hook"}) == {"url": "https://x.example/hook"}


def test_what_is_written_down_is_bounded() -> None:
    deep: dict[str, object] = {}
    for _ in range(20):
        deep = {"in": deep}
    assert str(redacted(deep)).count("in") < 10
    long = redacted({"text": "x" * 10_000, "list": list(range(1000))})
    assert len(long["text"]) < MAX_TEXT + 50
    assert long["list"][-1] == "… 950 more"
    assert len(redacted({str(i): i for i in range(1000)})) == 51
