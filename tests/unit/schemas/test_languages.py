import pytest
from dragoman.schemas.languages import normalised_tag


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("en", "en"),
        ("FR", "fr"),
        ("pt_br", "pt-BR"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("sl-rozaj-biske", "sl-rozaj-biske"),
        ("yue", "yue"),
    ],
)
def test_tag_takes_its_canonical_spelling_when_it_is_well_formed(written: str, normalised: str) -> None:
    assert normalised_tag(written) == normalised


@pytest.mark.parametrize("written", ["", "e", "xx", "english", "en-", "auto", "en fr", "ｅｎ", "en-US-" + "a" * 40])
def test_tag_is_refused_when_it_names_no_language(written: str) -> None:
    with pytest.raises(ValueError, match="not a BCP-47 tag"):
        normalised_tag(written)
