"""What a file of many lines is read as."""

from __future__ import annotations

import csv
import gzip
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.problems import FaregateError
from faregate.ingestion.records import (
    MAX_LINE_BYTES,
    Format,
    Record,
    format_of,
    read_records,
    unpacked,
)


def read(text: str | bytes, kind: Format = "csv", delimiter: str | None = None) -> list[Record]:
    body = text.encode() if isinstance(text, str) else text
    return list(read_records(unpacked(io.BytesIO(body)), kind, delimiter))


def fields(text: str | bytes, kind: Format = "csv") -> list[dict[str, object]]:
    records = read(text, kind)
    assert [record.problem for record in records if record.problem] == []
    return [dict(record.fields) for record in records]


def test_a_cell_stays_the_text_that_it_is_and_an_empty_one_is_not_there():
    assert fields("a,b,c\n007,,1.50\n") == [{"a": "007", "c": "1.50"}]


def test_a_quoted_cell_may_have_delimiters_quotes_and_new_lines():
    (record,) = read('a,b\n"x, ""y""\nz",2\n')
    assert record.fields == {"a": 'x, "y"\nz', "b": "2"}
    assert record.raw == '"x, ""y""\nz",2'


def test_a_record_has_the_number_of_its_first_line():
    assert [record.line for record in read('a\n"1\n2"\n\n3\n')] == [2, 5]


def test_a_byte_order_mark_and_the_line_ends_of_other_systems_are_no_part_of_a_cell():
    assert fields(b"\xef\xbb\xbfa,b\r\n1,2\r\n") == [{"a": "1", "b": "2"}]


def test_a_file_that_is_packed_is_read_as_if_it_were_not():
    assert fields(gzip.compress(b"a\n1\n")) == [{"a": "1"}]


def test_tabs_separate_the_columns_of_a_tsv_file():
    assert fields("a\tb\n1,5\t2\n", "tsv") == [{"a": "1,5", "b": "2"}]


def test_a_column_without_a_name_is_left_out():
    assert fields(",a\n0,x\n") == [{"a": "x"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,a\n1,2,3\n", "two columns 'a'"),
        ("a;b\n1;2\n", "--delimiter ';'"),
        ("a\tb\n1\t2\n", r"--delimiter '\t'"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"a,\xff\n", "header that is not UTF-8"),
        ('"a\n', "header that is not CSV"),
        (",".join(f"c{n}" for n in range(1001)), "1001 columns"),
    ],
)
def test_a_file_without_a_header_to_go_by_is_refused_with_the_remedy(text: str | bytes, said: str):
    with pytest.raises(FaregateError) as refused:
        read(text)
    assert said in refused.value.problem.detail


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1", "has 1 columns, the header 2"),
        ("1,2,3", "has 3 columns, the header 2"),
        ('"x"y,2', "is not CSV"),
        ("a\x00b,2", "NUL"),
        (b"\xe9,2", "is not UTF-8"),
        (b"x" * (MAX_LINE_BYTES + 5) + b",2", "is longer than"),
        (b"1,2," * (MAX_LINE_BYTES // 2), "is longer than"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_and_those_beside_it_are_read(
    line: str | bytes, said: str
):
    body = line.encode() if isinstance(line, str) else line
    first, wrong, last = read(b"a,b\n1,2\n" + body + b"\n3,4\n")
    assert (first.fields, last.fields) == ({"a": "1", "b": "2"}, {"a": "3", "b": "4"})
    assert said in wrong.problem
    assert (wrong.line, last.line, wrong.fields) == (3, 4, {})
    assert wrong.raw[:1] in body.decode(errors="backslashreplace")


def test_a_quote_that_is_never_closed_loses_no_line_in_silence():
    first, wrong = read('a,b\n1,2\n"3,4\n5,6\n')
    assert first.fields == {"a": "1", "b": "2"}
    assert "is a quote not closed?" in wrong.problem
    assert wrong.raw == '"3,4\n5,6'


def test_a_quote_that_is_not_closed_takes_no_more_than_a_bounded_part_of_the_file():
    lines = b"1234567,89\n" * (2 * MAX_LINE_BYTES // 11)
    records = read(b'a,b\n"3,4\n' + lines)
    assert "is not CSV" in records[0].problem
    assert len(records[0].raw) < MAX_LINE_BYTES + 100
    assert records[-1].fields == {"a": "1234567", "b": "89"}
    # What the broken record took and what was read after it are all lines that there are.
    taken = records[0].raw.count("\n")
    assert taken + len(records) - 1 == 2 * MAX_LINE_BYTES // 11


def test_numbers_of_json_are_exact():
    text = '{"a": 0.1, "b": 12345678901234567890, "c": 1e3, "d": true, "e": null, "f": "1"}'
    (found,) = fields(text, "jsonl")
    assert found == {
        "a": Decimal("0.1"), "b": 12345678901234567890, "c": Decimal("1E+3"), "d": True, "f": "1",
    }  # fmt: skip
    assert not any(isinstance(value, float) for value in found.values())


def test_what_is_nested_has_the_name_of_its_path():
    text = '{"usage": {"tokens": {"in": 3}}, "tags": ["x", {"y": 1}], "none": {"a": null}}'
    assert fields(text, "jsonl") == [{"usage.tokens.in": 3, "tags.0": "x", "tags.1.y": 1}]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "send an object"),
        ("{", "not valid JSON"),
        ('{"a": "\\u0000"}', "NUL"),
        ("[" * 5000, "send an object"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not valid JSON"),
        ('{"a":' * 20 + "1" + "}" * 20, "nested more than 10 deep"),
    ],
)
def test_json_that_is_no_object_of_its_own_is_told_and_what_follows_is_read(line: str, said: str):
    wrong, right = read(line + '\n{"a": 1}\n', "jsonl")
    assert said in wrong.problem
    assert (right.fields, right.line) == ({"a": 1}, 2)


def test_empty_lines_between_json_are_nothing():
    assert [record.line for record in read('\n{"a": 1}\n\n  \n{"a": 2}', "jsonl")] == [2, 5]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV.GZ", "csv"),
        ("a.tsv", "tsv"),
        ("a.jsonl", "jsonl"),
        ("b.ndjson.gz", "jsonl"),
        ("a.txt", None),
        ("-", None),
    ],
)
def test_a_files_name_says_its_format(name: str, kind: str | None):
    assert format_of(name) == kind


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(st.lists(st.tuples(CELL, CELL, st.integers()), max_size=8))
def test_what_a_table_was_written_from_is_read_from_it(rows: list[tuple[str, str, int]]):
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerow("abc")
    writer.writerows(rows)
    found = fields(written.getvalue())
    wanted = [{"a": a, "b": b, "c": str(c)} for a, b, c in rows]
    assert found == [{k: v for k, v in row.items() if v} for row in wanted]


@given(st.binary(max_size=400), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_whatever_bytes_there_are_each_is_in_a_record_or_the_file_is_refused(
    body: bytes, kind: Format
):
    try:
        records = read(b"a,b\tc\n" + body, kind)
    except FaregateError:
        return
    numbers = [record.line for record in records]
    assert numbers == sorted(set(numbers))
    json.dumps([record.raw for record in records])
