"""A file of prices is read as a whole, or refused with all that is wrong in it."""

from decimal import Decimal
from pathlib import Path

import pytest

from impact.price_book import PRICES_MAX, Price, Rates
from impact_cli.price_file import SHOWN_MAX, BadPriceFile, read_prices
from local import PROJECT

PRICES = [
    Price(
        "",
        "openai/gpt-6",
        "2026-12-01",
        Rates(Decimal("1.25"), Decimal("0.125"), output=Decimal(10)),
        source="contract 17",
    ),
    Price(
        "",
        "ollama/*",
        "2026-12-01",
        Rates(perSecond=Decimal("0.0004")),
        currency="EUR",
        source="our machines, 2026",
    ),
]
HEAD = "model,from,input,output,source\n"
ROW = "openai/gpt-6,2026-12-01,1.25,10,a page\n"
ENTRY = '[[price]]\nmodel = "a/b"\nfrom = 2026-12-01\nper-request = 1\nsource = "s"\n'


def written(folder: Path, content: str | bytes, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(BadPriceFile) as raised:
        read_prices(path)
    head, *faults = raised.value.message.splitlines()
    many = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    assert head == f"{path} has {many}. Nothing was appended."
    return [fault.removeprefix("  ") for fault in faults]


def documented(begin: str) -> str:
    """An example of docs/prices.md, from the line that begins so."""
    _, _, section = (PROJECT / "docs" / "prices.md").read_text().partition("## A file of prices")
    lines = section[section.index(f"    {begin}") :].splitlines()
    until = next(i for i, line in enumerate(lines) if line and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:until]) + "\n"


@pytest.mark.parametrize(("begin", "name"), [("[[price]]", "p.toml"), ("model,from", "p.CSV")])
def test_the_examples_of_the_documentation_are_read(begin: str, name: str, tmp_path: Path) -> None:
    assert read_prices(written(tmp_path, documented(begin), name)) == PRICES


def test_what_the_documentation_shows_of_a_wrong_file_is_what_is_said(tmp_path: Path) -> None:
    content = 'model,from,input,output,currency,source\nopenai/gpt-6,2026-12-01,"1,25",1,,s\n'
    path = written(tmp_path, content + "ollama/*,2026-12-01,1,1,GBP,s\n")
    with pytest.raises(BadPriceFile) as raised:
        read_prices(path)
    shown = documented("Error: prices.csv").removeprefix("Error: ").rstrip()
    assert raised.value.message.replace(str(path), "prices.csv") == shown


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    content = "\ufeff model , from,source,input,output\r\n\r\n,,,,\r\na/b , 2026-12-01 , s , 1 ,2\r\n"
    assert refusal(written(tmp_path, content)) == ["line 4 (a/b ): model begins or ends with a blank"]
    [price] = read_prices(written(tmp_path, content.replace("a/b ", "a/b")))
    assert (price.pattern, price.first_day, price.source) == ("a/b", "2026-12-01", "s")


def test_amounts_of_toml_are_exact(tmp_path: Path) -> None:
    content = ENTRY.replace("per-request = 1", "per-request = 0.10000000000000000000000000000000000001")
    [price] = read_prices(written(tmp_path, content, "p.toml"))
    assert price.rates == Rates(perRequest=Decimal("0.10000000000000000000000000000000000001"))


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", ["line 1: must name the columns once, with commas between: "]),
        ("model;from\n", ["line 1: must name the columns once, with commas between: "]),
        ("model,from,model\n", ["line 1: must name the columns once, with commas between: "]),
        (HEAD, ["the file: has no price"]),
        (HEAD + "a/b,2026-12-01,1,25,10,s\n", ["line 2: has 6 cells for 5 columns: "]),
        (HEAD + 'a/b,"2026\n', ["line 2: is not CSV: "]),
        (HEAD.encode() + b"a/\xff,2026-12-01,1,1,s\n", ["the file: is not UTF-8"]),
        (HEAD + ROW + ROW, ["line 3 (openai/gpt-6): has the model and the first day of line 2"]),
        (
            HEAD + 'x,"2026\n-12",y,-1,\n' + ROW + "a/\x1b[2J,2026-12-01,1,,s\n",
            [
                "line 2 (x): source is missing",
                "line 2 (x): from must be a day, YYYY-MM-DD",
                "line 2 (x): input 'y' is not a number",
                "line 2 (x): output '-1' is not a number",
                "line 5 (a/\\x1b[2J): output is missing: say 0 if it is free",
            ],
        ),
    ],
)
def test_a_wrong_csv_file_is_refused(content: str | bytes, faults: list[str], tmp_path: Path) -> None:
    found = refusal(written(tmp_path, content))
    assert [fault[: len(start)] for fault, start in zip(found, faults, strict=True)] == faults


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("price = ", ["the file: is not TOML: "]),
        ("a = " + "[" * 10000, ["the file: is not TOML: "]),
        ("a = " + "9" * 10000, ["the file: is not TOML: "]),
        ("price = [1]\n", ["the file: must have tables [[price]] and nothing else"]),
        ("[price]\n", ["the file: must have tables [[price]] and nothing else"]),
        ("[[prices]]\n", ["the file: must have tables [[price]] and nothing else"]),
        ("price = []\n", ["the file: has no price"]),
        (ENTRY + "inptu = 1\n", ["entry 1 (a/b): inptu is no field: model, from, input"]),
        (ENTRY + ENTRY, ["entry 2 (a/b): has the model and the first day of entry 1"]),
        (
            ENTRY
            + "input = nan\n"
            + ENTRY.replace("= 1\n", "= true\n").replace("2026-12-01", "[]")
            + "[[price]]\n",
            [
                "entry 1 (a/b): input 'nan' is not a number",
                "entry 2 (a/b): from must be a day, YYYY-MM-DD",
                "entry 2 (a/b): per-request must be a number",
                "entry 3: model is missing",
                "entry 3: from is missing",
                "entry 3: source is missing",
            ],
        ),
    ],
)
def test_a_wrong_toml_file_is_refused(content: str, faults: list[str], tmp_path: Path) -> None:
    found = refusal(written(tmp_path, content, "p.toml"))
    assert [fault[: len(start)] for fault, start in zip(found, faults, strict=True)] == faults


def test_other_files_and_too_many_prices_are_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, ENTRY, "prices.yaml")) == ["its name: must end in .toml or .csv"]
    rows = [ROW.replace("gpt-6", f"gpt-{number}") for number in range(PRICES_MAX + 1)]
    assert len(read_prices(written(tmp_path, HEAD + "".join(rows[1:])))) == PRICES_MAX
    assert refusal(written(tmp_path, HEAD + "".join(rows))) == [
        "the file: has 501 prices: at most 500 are appended at once"
    ]
    wrong = written(tmp_path, HEAD + "x,,,,\n" * SHOWN_MAX)
    with pytest.raises(BadPriceFile) as raised:
        read_prices(wrong)
    assert len(raised.value.message.splitlines()) == SHOWN_MAX + 2
    assert raised.value.message.endswith("more")
    with pytest.raises(FileNotFoundError):
        read_prices(tmp_path / "none.csv")
