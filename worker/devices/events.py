"""What goes to a device and what comes back from it. Frozen values; those of a process travel through a pipe."""

from dataclasses import dataclass
from enum import StrEnum

from ...model.translation import Translation
from .model_source import ModelSource


class Fault(StrEnum):
    """Why segments have no translation, or why a device ended."""

    ERROR = "error"  # the model raised an error
    MEMORY = "memory"  # the device had not enough memory
    REFUSED = "refused"  # the engine can never take this segment
    EXITED = "exited"  # the process ended, or was ended
    HUNG = "hung"  # nothing moved for longer than it may


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that are handed over together: source pieces as `encode` gives them. A lower `priority` comes first."""

    number: int
    model_version: str
    beam_size: int
    length_penalty: float
    sources: tuple[tuple[int, ...], ...]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class LoadModel:
    """To be loaded beside the others while they go on; `ModelLoaded` or `ModelRefused` says how that ended."""

    version: str
    source: ModelSource


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """To leave, unless something of it is on the device; a group that comes later brings it back."""

    version: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Translations of some places of a group, as they came."""

    group: int
    answers: tuple[tuple[int, Translation], ...]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Places of a group that got no translation.

    `detail` is the name of an error, or the engine's sentence where it refuses. `model_fault` names the error of the
    model on a plain word, if it was asked and failed.
    """

    group: int
    places: tuple[int, ...]
    fault: Fault
    detail: str
    model_fault: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as it was loaded: what runs it, such as "cpu native int8"; see `SegmentTranslator` for the others."""

    version: str
    runs_on: str
    rows: int
    pads: bool


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model came to the device, and others left it for want of memory."""

    facts: ModelFacts
    seconds: float
    evicted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRefused:
    """A model that was to be loaded beside the others cannot be: a sentence says why. They go on."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelUnloaded:
    """A model left because it was asked to."""

    version: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The device is up: it has loaded what fits, and each model has translated a plain word."""


@dataclass(frozen=True, slots=True)
class StartRefused:
    """The device cannot work with its models: a sentence for people says why."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The process lives. `progress` changes when the model has moved; row steps are counted since it was started."""

    progress: int
    is_loading: bool
    rows_used: int
    rows_free: int


@dataclass(frozen=True, slots=True)
class Died:
    """The device has ended; nothing comes from it any more until it is started again."""

    fault: Fault
    detail: str


ModelChange = LoadModel | UnloadModel
Event = Answered | Unanswered | ModelLoaded | ModelRefused | ModelUnloaded | Ready | StartRefused | Beat | Died
