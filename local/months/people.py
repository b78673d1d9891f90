"""The people who use the chat, and the models that they use. Pure: a seed decides who they are."""

from dataclasses import dataclass
from random import Random

from impact.naming import Name

FIRST_NAMES = (
    *("Alice", "Bob", "Carol", "Dmitri", "Elif", "Farid", "Grace", "Hana", "Ivan", "Jana", "Kofi", "Lena"),
    *(
        "Mateo",
        "Nora",
        "Omar",
        "Petra",
        "Quentin",
        "Rosa",
        "Sven",
        "Tariq",
        "Uma",
        "Viktor",
        "Wanda",
        "Xenia",
    ),
    *("Yusuf", "Zoë"),
)
LAST_NAMES = (
    *("Adler", "Brandt", "Costa", "Dietrich", "Eriksen", "Fontaine", "Gruber", "Haddad", "Ibáñez", "Jansen"),
    *("Kaya", "Lindqvist", "Moreau", "Novák", "Okafor", "Petrov", "Quinn", "Rossi", "Schneider", "Tanaka"),
)
LONGEST = 256
"""Characters of a user, team or key, at most."""


@dataclass(frozen=True)
class Team:
    id: str
    name: Name | None
    """None: nobody has named it."""


TEAMS = (
    Team("engineering", Name("Engineering", "CC-4100")),
    Team("research", Name("Research", "CC-4200")),
    Team("marketing", Name("Marketing", "CC-2300")),
    Team("support", Name("Customer Support", "CC-3100")),
    Team("team-7f3a91", None),
    Team("legal", Name("Legal", "CC-1200")),
)
WITHOUT_TEAM = 12
"""Every twelfth user is in no team."""
KEYS = {"librechat": "LibreChat", "coding-assistant": "Coding assistant", "reports": "Nightly reports"}
TAGS = ("chat", "summary", "translation", "code-review", "search")


@dataclass(frozen=True)
class User:
    id: str
    name: Name | None
    team: str | None
    weight: float
    """How much they ask, beside the others. A few ask for most."""
    model: str
    """What they use most: an id of MODELS."""


@dataclass(frozen=True)
class Model:
    provider: str
    name: str
    prices: tuple[str, str] | None
    """Dollars of a million tokens in and out; None where nobody knows them: those requests are unpriced."""
    share: float
    """How often it is chosen by those who have no preference."""
    tokens_per_second: int
    embeds: bool = False

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"


MODELS = (
    Model("openai", "gpt-4o", ("2.5", "10"), 30, 70),
    Model("openai", "gpt-4o-mini", ("0.15", "0.6"), 24, 110),
    Model("anthropic", "claude-sonnet-4-5-20250929", ("3", "15"), 22, 60),
    Model("anthropic", "claude-haiku-4-5-20251001", ("1", "5"), 8, 130),
    Model("mistral", "mistral-small-latest", ("0.1", "0.3"), 6, 140),
    Model("groq", "llama-3.3-70b-versatile", ("0.59", "0.79"), 4, 280),  # unrated: EcoLogits has it not
    Model("openai", "text-embedding-3-small", ("0.02", "0"), 4, 1, embeds=True),
    Model("azure", "gpt-4o-2025-11-preview", None, 2, 70),  # unpriced
)


def people(number: int, seed: int) -> list[User]:
    """Make up so many users. The first ones stay the same if there are more."""
    return [_user(place, Random(f"{seed}/user/{place}")) for place in range(number)]


def _user(place: int, random: Random) -> User:
    first = FIRST_NAMES[place % len(FIRST_NAMES)]
    last = LAST_NAMES[(place * 7 + place // len(FIRST_NAMES)) % len(LAST_NAMES)]
    again = place // len(FIRST_NAMES)
    [team] = random.choices(TEAMS, (9, 6, 5, 7, 3, 2))
    return User(
        id=first.lower() + (f".{again + 1}" if again else ""),
        name=Name(f"{first} {last}"),
        team=None if place % WITHOUT_TEAM == WITHOUT_TEAM - 1 else team.id,
        weight=1 / (1 + place) ** 0.7 * random.uniform(0.6, 1.4),
        model=random.choices(MODELS, [model.share for model in MODELS])[0].id,
    )


def hostile_people() -> list[User]:
    """Users whose ids and names are no plain text: markup, a formula, another direction, the longest."""
    texts = (
        "<script>document.title='owned'</script>",
        '=HYPERLINK("//x.example")',
        "\u202eecila",
        "W" * LONGEST,
    )
    return [User(text, Name(text), text, 0.05, MODELS[0].id) for text in texts]
