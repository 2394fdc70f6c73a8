"""The stage that hears what the database says of privacy: which clients leave no trace, and that texts were erased.

Looks every two seconds. While the database is away what was last heard holds: nothing is recorded or published then.
"""

from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine

from ..errors import TransientError
from ..storage.clients import no_trace_clients
from ..storage.engine import transaction
from ..storage.erasure import ERASED
from ..storage.watermarks import watermark
from .pipeline import Pipeline
from .stage import Stage

log = structlog.get_logger(__name__)

# Texts that were erased may be in the memory of a worker for so long, and about as long as a look takes.
LOOK_SECONDS = 2.0


class PrivacyWatch(Stage):
    """Tells the pipeline; `hear_first` before the first job is admitted."""

    def __init__(self, pipeline: Pipeline, engine: Engine) -> None:
        super().__init__("privacy-watch", pipeline.stopping)
        self._pipeline = pipeline
        self._engine = engine
        self._erased_at: datetime | None = None

    def work(self) -> None:
        """Look, and wait for the next time; what the database does not answer stays as it is."""
        self._hear()
        self.pause(LOOK_SECONDS)

    def hear_first(self, beat: Callable[[], object]) -> bool:
        """Look until the database answers, with a `beat` before each look; False when the worker ends before that."""
        while not self._worker_stopping.is_set():
            beat()
            if self._hear():
                return True
            self._worker_stopping.wait(LOOK_SECONDS)
        return False

    def look(self) -> None:
        """Ask once; raises `TransientError`."""
        with transaction(self._engine) as connection:
            self._take_over(connection)

    def _hear(self) -> bool:
        """Whether the database answered."""
        try:
            self.look()
        except TransientError as error:
            log.warning("privacy_not_known", error=str(error))
            return False
        return True

    def _take_over(self, connection: Connection) -> None:
        self._pipeline.privacy.no_trace_clients = no_trace_clients(connection)
        erased_at = watermark(connection, ERASED)
        if self._erased_at not in (None, erased_at):
            self._pipeline.waiting_room.forget_translations()
            log.info("translations_forgotten")
        self._erased_at = erased_at
