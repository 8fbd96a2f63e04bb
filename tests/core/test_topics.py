"""Topics: everything that the code can tell is registered, and looks as its page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from faregate.core.codec import decode, encode
from faregate.core.topics import BY_NAME, TOPICS, Topic

SOURCE = Path(__file__).parents[2] / "src/faregate"
TEXT = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))


def names_in_code() -> set[str]:
    """The topics of all notices that are made anywhere."""
    whole = set(re.findall(r'Notice\(\s*"([\w.]+)"', TEXT))
    families = set(re.findall(r'Notice\(f"(\w+)\.\{topic\}"', TEXT))
    assert families == {"subscription", "wallet"}
    told = set(re.findall(r'\btell\(\s*\w+, "(\w+)"', TEXT))
    levels = set(re.findall(r'topics\.append\("(\w+)"\)', TEXT))
    whole |= set(re.findall(r'"(payment\.[a-z_]+)"', (SOURCE / "core/payments.py").read_text()))
    collecting = set(re.findall(r'\bTold\("(\w+)"', TEXT))
    whole |= set(re.findall(r'_PRICE_CHANGED: Final = "([\w.]+)"', TEXT))
    return (
        whole
        | {f"subscription.{name}" for name in told}
        | {f"wallet.{name}" for name in levels}
        | {f"auto_top_up.{name}" for name in collecting}
    )


def test_every_notice_that_the_code_makes_is_registered_and_no_other() -> None:
    assert names_in_code() == set(BY_NAME)
    assert len(BY_NAME) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS, ids=[topic.name for topic in TOPICS])
def test_a_sample_says_in_json_what_its_shape_has(topic: Topic) -> None:
    text = encode(topic.sample)
    assert decode(topic.shape, text) == topic.sample
    required = {field.encode_name for field in structs.fields(topic.shape) if field.required}
    assert required <= set(decode(dict, text))
    assert topic.description
