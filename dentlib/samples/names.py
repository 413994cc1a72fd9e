"""Invented people, streets and phone numbers for a sample practice. Nobody here exists."""

from __future__ import annotations

import unicodedata

FIRST_NAMES: dict[str, tuple[str, ...]] = {
    "F": (
        "Amara", "Beatriz", "Chloe", "Daniela", "Elif", "Fatima", "Grace", "Hanna", "Imani", "Jasmine",
        "Keiko", "Leila", "Mei", "Nadia", "Olivia", "Priya", "Quinn", "Renée", "Sofía", "Thuy",
        "Uma", "Valentina", "Wanda", "Ximena", "Yara", "Zoe", "Abigail", "Bethany", "Carmen", "Dorothy",
        "Eleanor", "Françoise", "Gloria", "Harriet", "Ingrid", "Joanna", "Katherine", "Lucía", "Margaret", "Naomi",
    ),
    "M": (
        "Andre", "Bao", "Carlos", "Dmitri", "Ethan", "Farid", "Gabriel", "Hiroshi", "Ivan", "Jamal",
        "Kofi", "Liam", "Mateo", "Noah", "Omar", "Pavel", "Quentin", "Rajesh", "Søren", "Tomás",
        "Umberto", "Viktor", "Walter", "Xavier", "Yusuf", "Zachary", "Arthur", "Benjamin", "Chester", "Douglas",
        "Emmanuel", "Frederick", "Günther", "Harold", "Isaac", "Jerome", "Kenneth", "Leonard", "Marcus", "Nathaniel",
    ),
    "X": ("Alex", "Blake", "Casey", "Drew", "Emerson", "Frankie", "Hayden", "Jordan", "Kai", "Morgan", "Rowan", "Sage"),
}  # fmt: skip

LAST_NAMES = (
    "Abara", "Adler", "Alvarez", "Andersson", "Baptiste", "Becker", "Bianchi", "Brandt", "Castellanos", "Chen",
    "Chowdhury", "Costa", "Dasgupta", "Delacroix", "Dimitrov", "Dubois", "Eriksen", "Escobar", "Farouk", "Ferreira",
    "Fitzgerald", "Fontaine", "Fujimoto", "Galloway", "García", "Gunnarsson", "Haddad", "Hargreaves", "Hernández",
    "Hoffmann", "Huang", "Ibarra", "Ivanova", "Jablonski", "Jankowski", "Johansson", "Kaplan", "Karlsson", "Kowalczyk",
    "Laurent", "Lindgren", "Lombardi", "Madaki", "Marchetti", "Mbeki", "Moreau", "Müller", "Nakamura", "Ngata",
    "Nguyen", "Nowak", "Núñez", "Okafor", "Olafsson", "Ortega", "Palmer", "Papadakis", "Pereira", "Petrov",
    "Quispe", "Rahman", "Ramírez", "Reinhardt", "Rosenthal", "Sandoval", "Schäfer", "Sharma", "Silva", "Sokolov",
    "Takahashi", "Tanaka", "Thompson", "Tran", "Underhill", "Vargas", "Vasquez", "Vogel", "Wainwright", "Weiss",
    "Whitaker", "Wójcik", "Yamamoto", "Yilmaz", "Zamora", "Zielinski", "Çelik", "Öztürk",
)  # fmt: skip

STREETS = (
    "Alder", "Bayberry", "Cedar", "Dogwood", "Elderflower", "Foxglove", "Grove", "Hawthorn", "Ironwood", "Juniper",
    "Kelp", "Larkspur", "Madrone", "Nutmeg", "Orchard", "Poppy", "Quarry", "Redwood", "Sycamore", "Tule",
    "Upland", "Vineyard", "Willow", "Yarrow",
)  # fmt: skip
STREET_KINDS = ("Street", "Avenue", "Road", "Lane", "Drive", "Court")
CITIES = (
    ("San Francisco", "CA", "941"), ("Oakland", "CA", "946"), ("San Mateo", "CA", "944"), ("Berkeley", "CA", "947"),
    ("Daly City", "CA", "940"), ("San Jose", "CA", "951"), ("Fremont", "CA", "945"), ("Sacramento", "CA", "958"),
    ("Reno", "NV", "895"), ("Boston", "MA", "021"),
)  # fmt: skip
MAIL_DOMAINS = ("mailbox.example", "inbox.example", "post.example", "webmail.example", "letters.example")

_AREAS = (
    "415", "628", "510", "650", "925", "408", "707", "209", "916", "831", "559", "530", "213", "310", "323", "424",
    "562", "619", "626", "657", "661", "669", "714", "747", "760", "805", "818", "858", "909", "949", "951",
)  # fmt: skip
_EXCHANGES = ("555", "552", "553", "554", "556", "557", "558", "559")
_LINES = len(_AREAS) * 10_000
_STRIDE = 104_729  # a prime that doesn't divide _LINES: walks every line once before it repeats

# Ten ways in which a front desk writes the same number, beside the standard `(415) 555-2671`.
PHONE_SPELLINGS: dict[str, str] = {
    "phone_plain_digits": "{area}{exchange}{line}",
    "phone_dotted": "{area}.{exchange}.{line}",
    "phone_dashed": "{area}-{exchange}-{line}",
    "phone_international": "+1 {area} {exchange} {line}",
    "phone_leading_one": "1-{area}-{exchange}-{line}",
    "phone_double_zero": "001{area}{exchange}{line}",
    "phone_extension": "({area}) {exchange}-{line} x204",
    "phone_letters": "{area}-{exchange}-CARE",
    "phone_too_short": "{exchange}-{line}",
    "phone_two_in_one": "{area}-{exchange}-{line} / 510-555-0199",
}
STANDARD_PHONE = "({area}) {exchange}-{line}"


def phone(number: int, spelling: str = STANDARD_PHONE) -> str:
    """Write the n-th number of the invented directory; distinct for the first 2.4 million."""
    exchange = _EXCHANGES[number // _LINES % len(_EXCHANGES)]
    slot = (number * _STRIDE + 26_710) % _LINES
    return spelling.format(area=_AREAS[slot // 10_000], exchange=exchange, line=f"{slot % 10_000:04d}")


def mail_name(text: str) -> str:
    """Fold a name to the letters that an e-mail address can carry."""
    folded = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("ı", "i"))
    return "".join(letter for letter in folded.lower() if "a" <= letter <= "z")


def npi(number: int) -> str:
    """Make a ten-digit provider number with a right check digit, beginning with 9: such are never issued."""
    body = f"9{number:08d}"
    total = 24  # Luhn's contribution of the prefix 80840
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{body}{-total % 10}"
