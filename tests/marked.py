"""People whose words are found nowhere else, so that a test can search any text for them."""

from railway import person


def marked(who, start="AAA", end="EEE", **fields):
    """Return passenger `who` of railway.py with unique user, name, phone, e-mail and gender."""
    marks = {
        "irctcId": f"IR_{who:02}zq",
        "name": f"Nomen{who:02}zq",
        "phone": f"+91{who:02}7770777",
        "email": f"e{who:02}zq@example.org",
        "gender": f"g{who:02}zq",
    }
    return person(who, start, end, **marks) | fields


def marked_rac(who, number, start="AAA", end="EEE"):
    """Return a marked passenger on RAC, with half of side lower S1-7."""
    return marked(who, start, end, status="RAC", number=number, berth=7)


def marked_wl(who, number, **fields):
    return marked(who, status="WL", number=number, coach=None, berth=None, **fields)


def words_of(passenger):
    """Return the words that find a passenger of a chart in any text."""
    return {passenger[name] for name in ("irctcId", "name", "phone", "email", "gender", "pnr")}


def words_in(text, words):
    """Return the words that are in these bytes."""
    return {word for word in words if word.encode() in text}
