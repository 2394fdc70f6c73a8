"""Which language tag of a file names a wanted language. Knows the shape of tags (BCP 47), no list of languages."""

from collections.abc import Iterable


def matching_tag(tags: Iterable[str], language: str) -> str | None:
    """The tag that names `language`: the same one, else a regional form (`es-419`, `EN_us`), else None."""
    wanted = _plain(language)
    known = [(tag, _plain(tag)) for tag in tags]
    exact = (tag for tag, plain in known if plain == wanted)
    regional = (tag for tag, plain in known if plain.startswith(wanted + "-"))
    return next(exact, None) or next(regional, None)


def _plain(tag: str) -> str:
    return tag.strip().lower().replace("_", "-")
