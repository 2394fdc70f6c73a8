"""The words of a text as search knows them. Pure: the same for documents and for questions."""

import re
import unicodedata

# Letters, digits and underscores of any script; a run of a script without spaces is cut, as PostgreSQL takes no word of
# more than 2,046 bytes.
WORD = re.compile(r"\w{1,100}")
# Of a text: a document must stay below a megabyte.
LONGEST_CHARACTERS = 50_000


def normalised(text: str) -> str:
    """The text without differences of case and of Unicode's ways to write the same."""
    return unicodedata.normalize("NFC", text.casefold())


def words(text: str) -> set[str]:
    """Every word, once; of a very long text those of its beginning."""
    return set(WORD.findall(normalised(text[:LONGEST_CHARACTERS])))
