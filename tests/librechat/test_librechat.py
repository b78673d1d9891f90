"""LibreChat's users chat, stop, regenerate and close tabs; the ledger has each call of a provider once."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from local.fake_providers.endpoint import WORDS
from local.waiting import wait_until
from tests.librechat.client import Turn, User, Way
from tests.librechat.environment import Environment, missing
from tests.librechat.oracle import (
    Asked,
    Charge,
    Ending,
    Event,
    due,
    ending_of,
    found,
    tokens_counted,
    tokens_estimated,
    wrong_prices,
)

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason="no LibreChat is named: `make librechat` says more"),
    pytest.mark.long,
]

RESPONSE = "".join(WORDS)
"""The text of the fake providers."""
OPENAI = Way("LiteLLM", "gpt-4o-mini")
ANTHROPIC = Way("LiteLLM", "claude-haiku-4-5")
MESSAGES = Way("Claude", "claude-haiku-4-5")
"""An endpoint with `provider: anthropic`, which uses Anthropic's protocol with LiteLLM."""
NAMES = {"latin": "Alice Miller", "cyrillic": "Зоя Мельник"}
"""The second name cannot be sent in a header unencoded."""
WAYS = {"openai": OPENAI, "anthropic": ANTHROPIC, "provider: anthropic": MESSAGES}


@dataclass
class Person:
    """A user of LibreChat, with all messages so far."""

    environment: Environment
    user: User
    asked: list[Asked] = field(default_factory=list)

    def send(
        self,
        directions: str = "",
        way: Way = OPENAI,
        ending: Ending = Ending.WHOLE,
        mcp: Sequence[str] = (),
    ) -> Turn:
        """Send a first message. `directions` tell the fake providers how to respond."""
        if way.endpoint not in self.user.endpoints():
            pytest.skip(f"this librechat.yaml has no endpoint {way.endpoint}")
        call = uuid.uuid4().hex
        tokens = f"#in={300 + len(self.asked)} #out={40 + len(self.asked)}"
        turn = self.user.send(f"Hello #call={call} #user={self.user.id} {tokens} {directions}", way, mcp)
        self.asked.append(Asked(call, turn.conversation, ending))
        return turn

    def wait_until_held(self, what: str) -> None:
        """Wait until a provider holds its response to the last message."""
        wait_until(
            lambda: any(entry["streamed"] and entry["held"] == what for entry in self.calls()),
            f"a held {what} of {self.asked[-1].call}",
        )

    def calls(self) -> list[Event]:
        """The journal entries of the last message so far."""
        call = self.asked[-1].call
        return [entry for entry in self.environment.journal(self.user.id) if entry["call"] == call]

    def release(self, only_status: bool = False) -> None:
        call = self.asked[-1].call
        self.environment.release(f"{call}/status" if only_status else call)

    def wait_for_the_ledger(self, conversation: str | None = None) -> None:
        """Wait until the ledger agrees with the journal, for the user or for one conversation."""
        differences: list[str] = []

        def agree() -> bool:
            is_, should_be = self._found(conversation), self._due(conversation)
            differences[:] = [f"- {charge}" for charge in (should_be - is_).elements()]
            differences.extend(f"+ {charge}" for charge in (is_ - should_be).elements())
            return not differences

        try:
            wait_until(agree, "the ledger to agree with the journal", seconds=LEDGER_SECONDS)
        except TimeoutError:
            pytest.fail("\n".join(["missing (-) and unexpected (+) in the ledger:", *differences]))

    def _due(self, conversation: str | None) -> Counter[Charge]:
        return _of(conversation, due(self.environment.journal(self.user.id), self.asked))

    def _found(self, conversation: str | None) -> Counter[Charge]:
        return _of(conversation, found(self.ledger(), self.asked))

    def ledger(self) -> list[Event]:
        """The events of the user, and those of the user's conversations under any user."""
        conversations = {asked.conversation for asked in self.asked}
        return [
            event
            for event in self.environment.ledger()
            if event["userId"] == self.user.id or event.get("conversationId") in conversations
        ]


LEDGER_SECONDS = 60.0
"""Seconds to wait for an event: it waits one second for others, and a busy machine needs more."""


def _of(conversation: str | None, charges: Counter[Charge]) -> Counter[Charge]:
    wanted = ((one, count) for one, count in charges.items() if conversation in (None, one.conversation))
    return Counter(dict(wanted))


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment.from_environment()


@pytest.fixture(scope="module")
def people(environment: Environment) -> Iterator[Mapping[str, Person]]:
    """Two users, whose ids LibreChat chooses."""
    people = {
        script: Person(environment, User(environment.librechat, name)) for script, name in NAMES.items()
    }
    yield people
    for person in people.values():
        for asked in person.asked:
            environment.release(asked.call)


@pytest.fixture(params=NAMES)
def person(people: Mapping[str, Person], request: pytest.FixtureRequest) -> Person:
    return people[str(request.param)]


@pytest.fixture
def alice(people: Mapping[str, Person]) -> Person:
    return people["latin"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


def test_a_message(person: Person, way: Way) -> None:
    turn = person.send(way=way)
    assert turn.answer().text == RESPONSE
    person.wait_for_the_ledger(turn.conversation)


def test_a_title_is_a_call_of_its_own(person: Person) -> None:
    turn = person.send()
    turn.answer()
    assert turn.title() == RESPONSE
    assert any(not entry["streamed"] for entry in person.calls())
    person.wait_for_the_ledger(turn.conversation)


def test_an_answer_is_regenerated(alice: Person) -> None:
    turn = alice.send()
    again = alice.user.regenerate(turn.answer(), OPENAI)
    assert again.answer().text == RESPONSE
    assert again.conversation == turn.conversation
    assert sum(entry["streamed"] for entry in alice.calls()) == 2
    alice.wait_for_the_ledger(turn.conversation)


def test_stop_before_the_first_part(alice: Person, way: Way) -> None:
    turn = alice.send("#hold=0", way, Ending.GIVEN_UP)
    alice.wait_until_held("parts")
    turn.stop()
    alice.wait_for_the_ledger(turn.conversation)


def test_stop_before_the_status_while_the_parts_are_long_in_coming(alice: Person, way: Way) -> None:
    turn = alice.send("#hold=status,0", way, Ending.GIVEN_UP)
    alice.wait_until_held("status")
    turn.stop()
    alice.release(only_status=True)  # LiteLLM still waits for it
    alice.wait_for_the_ledger(turn.conversation)


@pytest.mark.parametrize("hold", ["status", "1"])
def test_stop_just_before_parts_come(alice: Person, way: Way, hold: str) -> None:
    """What LiteLLM sees depends on timing. (The first part of Anthropic's streams has prompt tokens.)"""
    turn = alice.send(f"#hold={hold}", way, Ending.BY_CHANCE)
    alice.wait_until_held("status" if hold == "status" else "parts")
    turn.stop()
    alice.release()
    alice.wait_for_the_ledger(turn.conversation)


def test_stop_in_the_middle(person: Person, way: Way) -> None:
    turn = person.send("#hold=4", way, Ending.STOPPED)
    with turn.events() as events:
        turn.wait_for_text(events)
        turn.stop()
    person.wait_for_the_ledger(turn.conversation)


def test_a_tab_is_closed(alice: Person, way: Way) -> None:
    """LibreChat continues the stream without the tab."""
    turn = alice.send("#hold=4", way)
    with turn.events() as events:
        turn.wait_for_text(events)
    alice.release()
    alice.wait_for_the_ledger(turn.conversation)


def test_a_model_that_fails_is_replaced_by_another(person: Person) -> None:
    turn = person.send("#fail=anthropic:always:529", ANTHROPIC)
    assert turn.answer().text == RESPONSE
    answered = [entry for entry in person.calls() if entry["streamed"]]
    assert {(entry["provider"], entry["status"]) for entry in answered} == {
        ("anthropic", 529),
        ("openai", 200),
    }
    person.wait_for_the_ledger(turn.conversation)


@pytest.mark.parametrize("way", [ANTHROPIC, MESSAGES], ids=["anthropic", "provider: anthropic"])
@pytest.mark.parametrize("hold", ["status,0", "0", "4"])
def test_stop_while_the_other_model_answers(alice: Person, way: Way, hold: str) -> None:
    """What LiteLLM reports depends on the endpoint. The call must be in the ledger once in any case."""
    turn = alice.send(f"#fail=anthropic:always:529 #hold={hold}", way, Ending.BY_CHANCE)
    if hold == "4":
        with turn.events() as events:
            turn.wait_for_text(events)
    is_status = hold == "status,0"
    alice.wait_until_held("status" if is_status else "parts")
    turn.stop()
    if is_status:  # LiteLLM retries, and then calls the other model, although the user has gone
        alice.release(only_status=True)
        alice.wait_until_held("parts")
    alice.wait_for_the_ledger(turn.conversation)


def test_a_user_asks_the_chat_what_they_used(person: Person) -> None:
    """The model calls a tool of deploy/librechat.yaml's MCP server, and says what it answers."""
    if "impact" not in person.user.mcp_servers():
        pytest.skip("this librechat.yaml has no MCP server impact")
    first = person.send()
    first.answer()
    person.wait_for_the_ledger(first.conversation)
    user_id, counted = person.user.id, person.environment.counted
    wait_until(lambda: counted(user_id)["requests"] == len(person.ledger()), "the rollup")
    before = counted(user_id)
    text = person.send("What did I use this month? #tool=my_usage", mcp=["impact"]).answer().text
    after = counted(user_id)
    assert f'Use of user "{user_id}" from ' in text
    requests = re.findall(r"(?m)^Requests: (\d+), of which (\d+) failed\.$", text)
    assert [before["requests"]] <= [int(number) for number, _ in requests] <= [after["requests"]]
    billed = re.findall(r"(?m)^Billed: .*?exactly ([0-9.]+) EUR", text)
    assert [before["billedEUR"]] <= [Decimal(number) for number in billed] <= [after["billedEUR"]]


def test_in_the_end_each_call_is_in_the_ledger_once(
    person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    """After one more, abandoned message: its event takes longest, so all others are there too."""
    turn = person.send("#hold=0", ending=Ending.GIVEN_UP)
    person.wait_until_held("parts")
    turn.stop()
    person.wait_for_the_ledger()
    ledger, user_id = person.ledger(), person.user.id
    assert wrong_prices(ledger) == []

    endings = Counter(map(ending_of, ledger))
    statuses = Counter(event["status"] for event in ledger)
    total, journal = person.environment.total(user_id), person.environment.journal(user_id)
    assert (total["requests"], total["failures"]) == (len(ledger), statuses["failure"])
    assert (total["unpriced"], total["estimated"]) == (endings[Ending.GIVEN_UP], endings[Ending.STOPPED])
    counted = tokens_counted(journal, person.asked) + tokens_estimated(ledger, person.asked)
    assert {name: total[name] for name in counted} == counted
    with capsys.disabled():
        print(f"\n{len(journal)} calls, {len(ledger)} events:")
        print(*(f"  {count:3} {ending}" for ending, count in endings.items()), sep="\n")
