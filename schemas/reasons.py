"""Why a job or message is given up for good: stable words for programs. Knows nothing else of ours."""

from enum import StrEnum


class Reason(StrEnum):
    """The reason in results, dead letters and metrics; `meaning` is its one line for people.

    Words are added, never changed: a reader must accept one it does not know.
    """

    meaning: str

    def __new__(cls, word: str, meaning: str) -> "Reason":
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # The message could not be read as a job.
    EMPTY_MESSAGE = "empty_message", "the message has no value"
    MESSAGE_TOO_LARGE = "message_too_large", "the message is too large to be read as a job"
    NOT_UTF8 = "not_utf8", "the message is not UTF-8"
    NOT_JSON = "not_json", "the message is not JSON, or nested too deeply to be read"
    NOT_AN_OBJECT = "not_an_object", "the message is JSON, but not an object"
    WRONG_SCHEMA_VERSION = "wrong_schema_version", "schema_version is missing or not one this version reads"
    INVALID_JOB = "invalid_job", "a field of the job is missing or not allowed"
    # The text cannot be translated.
    EMPTY_TEXT = "empty_text", "the source text is empty or only white space"
    TEXT_TOO_LARGE = "text_too_large", "the source text has more than 100,000 characters"
    NUL_CHARACTER = "nul_character", "a text holds the character U+0000"
    LONE_SURROGATE = "lone_surrogate", "a text holds half of a surrogate pair, which is not Unicode text"
    TOO_MANY_PIECES = "too_many_pieces", "the source text has more pieces than the model reads"
    # The job is well-formed, this installation cannot do it.
    UNKNOWN_LANGUAGE = "unknown_language", "a language is not a BCP-47 tag of a known language"
    UNKNOWN_LANGUAGE_PAIR = "unknown_language_pair", "no model translates from this language to that one"
    UNKNOWN_MODEL = "unknown_model", "the model version that the job names is not served"
    DEADLINE_PASSED = "deadline_passed", "the deadline passed before the translation began"
    # The model was asked and could not.
    TRANSLATION_FAILED = (
        "translation_failed",
        "the model failed on this text, also when it was alone in its batch",
    )
