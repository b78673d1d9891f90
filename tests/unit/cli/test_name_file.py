"""Files of names: what they hold, and each thing that is wrong with its line and column."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impact.naming import ID_FIELDS, Name, id_problem, name_problems
from impact_cli.name_file import COLUMNS, NameFile, read_librechat, read_names

ID = "65f1c0de65f1c0de65f1c0de"
NO_JSON = "is no JSON object: export without --jsonArray and without --pretty"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def found(file: NameFile) -> list[tuple[int, str, str, Name]]:
    assert file.problems == []
    return [(row.line, row.kind, row.id, row.name) for row in file.rows]


def problems(text: str | bytes, librechat: bool = False) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    return [str(problem) for problem in (read_librechat if librechat else read_names)(content).problems]


def test_a_file_of_names() -> None:
    text = 'kind,id,name,cost_centre\r\nuser,alice,"Example, Alice",4711\r\n\r\n'
    text += 'team,-x,"two\nlines",\r\nkey,a#b,K,"1"'
    assert found(read_names(text.encode())) == [
        (2, "user", "alice", Name("Example, Alice", "4711")),
        (4, "team", "-x", Name("two\nlines")),
        (6, "key", "a#b", Name("K", "1")),
    ]


def test_columns_in_any_order_after_a_byte_order_mark() -> None:
    text = "\ufeffname,cost_centre,note,id,kind\nAlice,,x,a,user\n"
    assert found(read_names(text.encode())) == [(2, "user", "a", Name("Alice"))]


@given(
    st.dictionaries(st.tuples(st.sampled_from(list(ID_FIELDS)), TEXTS), st.tuples(TEXTS, st.just("") | TEXTS))
)
def test_what_is_written_is_what_is_read(names: dict[tuple[str, str], tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    good = {}
    for (kind, id_), (text, centre) in names.items():
        name = Name(text, centre or None)
        if not id_problem(kind, id_) and not name_problems(name):  # type: ignore[arg-type]
            writer.writerow([kind, id_, text, centre])
            good[kind, id_] = name
    read = read_names(file.getvalue().encode())
    assert {(row.kind, row.id): row.name for row in read.rows} == good
    assert read.problems == []


def test_each_thing_that_is_wrong_is_named_with_its_place() -> None:
    rows = [
        "person,a,A,",
        "user,,A,",
        "user,b,,",
        f"team,{'x' * 257},{'y' * 257},{'z' * 65}",
        'user,c,"C\nD",',
        "user,c,Other,",
    ]
    assert problems("kind,id,name,cost_centre\n" + "\n".join(rows)) == [
        "line 2, kind: must be one of user, team, key",
        "line 3, id: is empty",
        "line 4, name: is empty",
        "line 5, name: has more than 256 characters",
        "line 5, cost_centre: has more than 64 characters",
        "line 5, id: has more than 256 characters",
        "line 8, id: is in line 6 already",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "",
            "line 1: the header has no kind, id, name, cost_centre",
        ),
        (
            "kind;id;name;cost_centre\nuser;a;A;",
            "line 1: the header has no kind, id, name, cost_centre",
        ),
        (
            "kind,id,name\nuser,a,A",
            "line 1: the header has no cost_centre",
        ),
        ("kind,id,name,cost_centre\nuser,a,A", "line 2: has 3 cells, and the header 4"),
        ('kind,id,name,cost_centre\nuser,a,"A', "line 2: is no CSV: unexpected end of data"),
        (b"kind,id,name,cost_centre\nuser,a,\xff,\n", "line 2: is not UTF-8: save the file as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(text: str | bytes, problem: str) -> None:
    assert problems(text) == [problem]


def test_users_of_librechat_as_lines_of_json() -> None:
    users = [
        {"_id": {"$oid": ID}, "name": " Alice Example ", "username": "alice", "email": "a@example.com"},
        {"_id": {"$oid": "b" * 24}, "name": "", "username": "bob"},
        {"_id": {"$oid": "c" * 24}, "name": "carol@example.com", "username": "carol", "email": "x@y.z"},
        {"_id": {"$oid": "d" * 24}, "name": None, "username": "dave@example.com"},
        {"_id": "e" * 24, "email": "erin@example.com"},
    ]
    read = read_librechat("\n".join(map(json.dumps, users)).encode() + b"\n")
    assert found(read) == [
        (1, "user", ID, Name("Alice Example")),
        (2, "user", "b" * 24, Name("bob")),
        (3, "user", "c" * 24, Name("carol")),
    ]
    assert read.unnamed == 2
    assert "@" not in repr(read)


@pytest.mark.parametrize("written", [ID, f"ObjectId({ID})", f'"ObjectId(""{ID}"")"', f'"ObjectID(""{ID}"")"'])
def test_users_of_librechat_as_csv(written: str) -> None:
    text = f"_id,name,username,email\n{written},Alice Example,alice,a@example.com\n"
    text += f"{'b' * 24},,bob,b@example.com\n"
    assert found(read_librechat(text.encode())) == [
        (2, "user", ID, Name("Alice Example")),
        (3, "user", "b" * 24, Name("bob")),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name,username\nA,a", "line 1: the header has no _id"),
        (
            f'{{"_id": "{ID}", "name": "A"}}\n{{',
            f"line 2: {NO_JSON}",
        ),
        ('[{"_id": "a", "name": "A"}]', f"line 1: {NO_JSON}"),
        ('{"name": "A"}', "line 1, _id: is empty"),
        ('{"_id": {"$oid": 7}, "name": "A"}', "line 1, _id: is empty"),
        (f'{{"_id": "{ID}", "name": "{"x" * 257}"}}', "line 1, name: has more than 256 characters"),
        ('{"_id": "\\ud800", "name": "A"}', "line 1, _id: is not UTF-8"),
    ],
)
def test_an_export_that_cannot_be_used_says_where(text: str, problem: str) -> None:
    assert problems(text, librechat=True) == [problem]


def test_no_users_are_no_names() -> None:
    assert found(read_librechat(b"")) == found(read_librechat(b"_id,name,username\n")) == []
