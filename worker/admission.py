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

    def serve(self, models: ServedModels) -> None:
        """From now on, jobs go to these; segments stay with the model whose pieces they are. Any thread may call it."""
        self._models = models

    def tokenise(self, jobs: list[tuple[Delivery, TranslationJob]], now_seconds: float) -> list[Segment | Outcome]:
        """Segments ready for the waiting room; a text of more pieces than the model reads is rejected.

        So is a job whose model has left since it was decoded.
        """
        served, now = self._models, _Now(datetime.now(UTC), now_seconds)
        models = [served.of_job(job) for _, job in jobs]
        pieces = _pieces([job for _, job in jobs], models)
        return [
            self._segment(delivery, job, _Encoded(model, pieces[place]), now)
            if model is not None
            else refused(self._identity, delivery, job, _unserved(served, job))
            for place, ((delivery, job), model) in enumerate(zip(jobs, models, strict=True))
        ]

    def pool(self, segment: Segment) -> Pool:
        """Segments with equal pools can share a batch."""
        job = segment.job
        options = job.options
        return Pool(
            job.source_language,
            job.target_language,
            segment.model_version,
            options.beam_size or self._defaults.beam_size,
            self._defaults.length_penalty if options.length_penalty is None else options.length_penalty,
        )

    def _segment(self, delivery: Delivery, job: TranslationJob, encoded: "_Encoded", now: _Now) -> Segment | Outcome:
        model, pieces = encoded
        if len(pieces) > model.max_source_pieces:
            detail = (
                f"the text has {len(pieces)} pieces, the model reads {model.max_source_pieces}: split it into sentences"
            )
            refusal = Refusal(Reason.TOO_MANY_PIECES, detail, model_version=model.version)
            return refused(self._identity, delivery, job, refusal)
        return Segment(delivery, job, pieces, now.at, now.seconds, model_version=model.version)

    def _refusal(self, job: TranslationJob) -> Refusal | None:
        models = self._models
        return _unserved(models, job) if models.of_job(job) is None else expiry(job)


class _Encoded(NamedTuple):
    """A model, and a text in its pieces."""

    model: SourceSideModel
    pieces: tuple[int, ...]


def _pieces(jobs: list[TranslationJob], models: list[SourceSideModel | None]) -> dict[int, tuple[int, ...]]:
    """Pieces of each job with a model, by its place; one call of a tokenizer for each model and target language."""
    alike: dict[tuple[str, str], list[int]] = {}
    by_version = {model.version: model for model in models if model is not None}
    for place, (job, model) in enumerate(zip(jobs, models, strict=True)):
        if model is not None:
            alike.setdefault((model.version, job.target_language), []).append(place)
    result: dict[int, tuple[int, ...]] = {}
    for (version, target), places in alike.items():
        rows = by_version[version].encode([jobs[place].source_text for place in places], target)
        result |= zip(places, map(tuple, rows), strict=True)
    return result


def _unserved(models: ServedModels, job: TranslationJob) -> Refusal:
    """Why no model translates the job."""
    pair = (job.source_language, job.target_language)
    serving = models.of_pair(*pair)
    if serving:
        served = ", ".join(model.version for model in serving)
        return Refusal(Reason.UNKNOWN_MODEL, f"the job asks for another model version; this worker serves {served}")
    known = ", ".join("-".join(pair) for pair in models.pairs)
    return Refusal(
        Reason.UNKNOWN_LANGUAGE_PAIR, f"no model translates {'-'.join(pair)}: this worker translates {known}"
    )


def expiry(job: TranslationJob) -> Refusal | None:
    """Why the job is too late, if it is."""
    return too_late(job.deadline) if job.deadline is not None and job.deadline <= datetime.now(UTC) else None


def too_late(deadline: datetime) -> Refusal:
    """What a job is told whose deadline has passed."""
    return Refusal(Reason.DEADLINE_PASSED, f"the deadline {deadline.isoformat()} has passed: submit again")
