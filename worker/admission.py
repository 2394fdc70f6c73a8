"""Decides what becomes of a message: a segment that waits for a batch, or an outcome. Knows contracts and model limits.

Does not look at the history: that takes the database, and the caller asks for many jobs at once.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from ..model.decoding import SearchOptions
from ..schemas.codec import UndecodableMessageError, decode_job
from ..schemas.jobs import TranslationJob
from ..schemas.reasons import Reason
from .assignments import Delivery
from .devices.segment_translator import SourceSideModel
from .devices.served_models import ServedModels
from .outcomes import Refusal, Salvage, refused, undecodable
from .privacy import Privacy
from .scheduling.pool import Pool
from .work import Identity, Outcome, Segment


class _Now(NamedTuple):
    """The present, by both clocks: one for all jobs that are admitted together."""

    at: datetime
    seconds: float


class Admission:
    """Admits jobs for the models that are served."""

    def __init__(
        self, identity: Identity, models: ServedModels, defaults: SearchOptions, privacy: Privacy | None = None
    ) -> None:
        self._privacy = privacy or Privacy()
        self._identity = identity
        self._models = models
        self._defaults = defaults

    def decode(self, delivery: Delivery) -> TranslationJob | Outcome:
        """The job in a message, or the outcome of a message or job that is rejected."""
        try:
            job = decode_job(delivery.message.value)
        except UndecodableMessageError as error:
            no_trace = error.no_trace or error.client_id in self._privacy.no_trace_clients
            salvage = Salvage(error.job_id, error.client_id, no_trace)
            return undecodable(self._identity, delivery, salvage, Refusal(error.reason, str(error)))
        if job.client_id in self._privacy.no_trace_clients:
            job = job.model_copy(update={"no_trace": True})
        refusal = self._refusal(job)
        return refused(self._identity, delivery, job, refusal) if refusal else job

    def tokenise(self, jobs: list[tuple[Delivery, TranslationJob]], now_seconds: float) -> list[Segment | Outcome]:
        """Segments ready for the waiting room; a text of more pieces than the model reads is rejected."""
        pieces, now = self._pieces([job for _, job in jobs]), _Now(datetime.now(UTC), now_seconds)
        return [self._segment(delivery, job, pieces[place], now) for place, (delivery, job) in enumerate(jobs)]

    def pool(self, job: TranslationJob) -> Pool:
        """Jobs with equal pools can share a batch."""
        options = job.options
        return Pool(
            job.source_language,
            job.target_language,
            self._model_of(job).version,
            options.beam_size or self._defaults.beam_size,
            self._defaults.length_penalty if options.length_penalty is None else options.length_penalty,
        )

    def _pieces(self, jobs: list[TranslationJob]) -> dict[int, tuple[int, ...]]:
        """Pieces of each job by its place; one call of the tokenizer for each model and target language."""
        places: dict[tuple[str, str], list[int]] = {}
        for place, job in enumerate(jobs):
            places.setdefault((self._model_of(job).version, job.target_language), []).append(place)
        result: dict[int, tuple[int, ...]] = {}
        for (version, target), alike in places.items():
            rows = self._models.of(version).encode([jobs[place].source_text for place in alike], target)
            result |= zip(alike, map(tuple, rows), strict=True)
        return result

    def _model_of(self, job: TranslationJob) -> SourceSideModel:
        """The model of a job that was admitted."""
        model = self._models.serving(job.source_language, job.target_language, job.model)
        if model is None:
            raise ValueError("the job was not admitted: no model serves it")
        return model

    def _segment(
        self, delivery: Delivery, job: TranslationJob, pieces: tuple[int, ...], now: "_Now"
    ) -> Segment | Outcome:
        longest = self._model_of(job).max_source_pieces
        if len(pieces) > longest:
            detail = f"the text has {len(pieces)} pieces, the model reads {longest}: split it into sentences"
            return refused(self._identity, delivery, job, Refusal(Reason.TOO_MANY_PIECES, detail))
        return Segment(delivery, job, pieces, now.at, now.seconds)

    def _refusal(self, job: TranslationJob) -> Refusal | None:
        pair = (job.source_language, job.target_language)
        serving = self._models.of_pair(*pair)
        if not serving:
            known = ", ".join("-".join(pair) for pair in self._models.pairs)
            return Refusal(
                Reason.UNKNOWN_LANGUAGE_PAIR,
                f"no model translates {'-'.join(pair)}: this worker translates {known}",
            )
        if self._models.serving(*pair, job.model) is None:
            served = ", ".join(model.version for model in serving)
            return Refusal(Reason.UNKNOWN_MODEL, f"the job asks for another model version; this worker serves {served}")
        return expiry(job)


def expiry(job: TranslationJob) -> Refusal | None:
    """Why the job is too late, if it is."""
    return too_late(job.deadline) if job.deadline is not None and job.deadline <= datetime.now(UTC) else None


def too_late(deadline: datetime) -> Refusal:
    """What a job is told whose deadline has passed."""
    return Refusal(Reason.DEADLINE_PASSED, f"the deadline {deadline.isoformat()} has passed: submit again")
