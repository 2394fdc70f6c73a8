"""Language tags: well-formed BCP-47 in one spelling. Does not know which pairs a model translates."""

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from .reasons import Reason

# language[-Script][-REGION][-variant...]; rarer forms (extlang, extensions, private use) are left out.
_TAG = re.compile(r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?((?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)")
_LONGEST_TAG = 35  # RFC 5646, 4.4.1

# ISO 639-1. Three-letter codes are only checked for their form: ISO 639-3 has thousands.
_TWO_LETTER_CODES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id
    ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu
    lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu
    rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to
    tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()  # noqa: SIM905 - quoted words would hide the list
)


@lru_cache(maxsize=1024)
def normalised_tag(tag: str) -> str:
    """Return `tag` in its canonical spelling (`PT_br` is `pt-BR`); raises ValueError if it is none."""
    found = _TAG.fullmatch(tag.replace("_", "-").lower()) if len(tag) <= _LONGEST_TAG and tag.isascii() else None
    if found is None or (len(found[1]) == 2 and found[1] not in _TWO_LETTER_CODES):
        raise ValueError("not a BCP-47 tag of a known language")
    language, script, region, variants = found.groups()
    parts = [language, script.title() if script else "", region.upper() if region else ""]
    return "-".join(part for part in parts if part) + variants


def _language(tag: str) -> str:
    try:
        return normalised_tag(tag)
    except ValueError:
        # The tag itself is not quoted: whoever swaps arguments puts the text here.
        raise PydanticCustomError(
            Reason.UNKNOWN_LANGUAGE.value,
            "it is not a known language: use a BCP-47 tag such as en, fr or pt-BR",
        ) from None


Language = Annotated[str, AfterValidator(_language)]
