"""The translation memory: corrections in the database, asked only for texts that may have one. Knows no Kafka.

The caller says which correction the database has just named as the newest, and each call first reads what was written
up to it; so a correction answers every job that is admitted after its commit, in every worker. Keys of all corrections
are in a filter of fixed size; what it lets through is asked for, and the database decides. While a worker has not read
all keys yet, it asks for everything.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from ..schemas.jobs import TranslationJob
from ..storage.correction_chain import ChainNames
from ..storage.correction_queries import Latest, Numbered, latest_of, written_since
from ..storage.engine import at_once
from ..storage.text_cipher import TextCipher, required
from .key_filter import KeyFilter
from .translation_memory import Found

# Keys read in one call, so that ten million hold up no job: about a quarter of a second (benchmarks/NOTES.md).
KEYS_AT_ONCE = 20_000
# All that one chain may have.
Names = tuple[bytes, ...]


class CorrectionMemory:
    """Finds the correction of a job: its client's own, else the one for all clients. Used by one thread.

    A job that names a model version gets none: it wants to hear that model.
    """

    def __init__(self, engine: Engine, cipher: TextCipher | None = None) -> None:
        self._engine = engine
        self._cipher = cipher
        self._names = ChainNames(cipher)
        self._filter = KeyFilter()
        self._last: Numbered | None = None
        # Whether all keys were read: until then every text is asked for.
        self.knows_all = False

    def find(self, jobs: Sequence[TranslationJob], newest: Numbered | None, /) -> list[Found | None]:
        """What people say these jobs must become.

        Raises `TransientError`, and `DragomanError` when corrections are encrypted with a key that we have not.
        """
        if newest != self._last or not self.knows_all:
            with at_once(self._engine) as connection:
                self._catch_up(connection)
        if self._last is None:
            return [None] * len(jobs)
        chains = [self._chains(job) for job in jobs]
        latest = self._latest(self._asked(chains))
        return [_found(latest, some) for some in chains]

    def _latest(self, names: set[bytes]) -> dict[bytes, Latest]:
        if not names:
            return {}
        with at_once(self._engine) as connection:
            return latest_of(connection, names, self._cipher)

    def _catch_up(self, connection: Connection) -> None:
        """Read a piece of what is new. The last correction that we saw comes first: else it is another database."""
        written = written_since(connection, self._last.number if self._last else 0, KEYS_AT_ONCE)
        if self._last is not None and (not written or written[0] != self._last):
            # Set back by a restore, or the last one was erased.
            self._filter, self._last = KeyFilter(), None
            written = written_since(connection, 0, KEYS_AT_ONCE)
        for key_name in {one.text_key for one in written if one.text_key is not None}:
            required(self._cipher, key_name)
        for one in written:
            self._filter.add(one.chain)
        self.knows_all = len(written) < KEYS_AT_ONCE
        self._last = written[-1] if written else None

    def _chains(self, job: TranslationJob) -> tuple[Names, ...]:
        """The chains that may answer, the first one with an answer wins."""
        if job.model is not None:
            return ()
        named = (job.source_language, job.target_language, job.source_text)
        return self._names.of(job.client_id, *named), self._names.of(None, *named)

    def _asked(self, chains: Sequence[tuple[Names, ...]]) -> set[bytes]:
        """Names to ask the database for: all of a chain, which may just be getting another of them."""
        return {name for some in chains for names in some if any(map(self._may_be_known, names)) for name in names}

    def _may_be_known(self, name: bytes) -> bool:
        return not self.knows_all or name in self._filter


def _found(latest: dict[bytes, Latest], chains: tuple[Names, ...]) -> Found | None:
    for names in chains:
        for name in names:
            known = latest.get(name)
            if known is not None and known.target_text is not None:
                return Found(known.target_text, known.id)
    return None
