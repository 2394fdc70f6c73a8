"""A device in this process: for translators that cost nothing, and for tests. Knows no pipe and no thread."""

import time
from collections import deque

from ...model.decoding import SearchOptions
from ...model.translation import Translation
from .device import PROBE
from .events import Answered, Event, Fault, Group, ModelFacts, ModelLoaded, ModelRefused, Ready, Unanswered
from .faults import fault_of
from .model_source import ModelSource
from .segment_translator import SegmentTranslator


class LocalDevice:
    """Translates a group inside `submit`; a model that takes the process down takes the worker down."""

    answers_at_once = True

    def __init__(self, translator: SegmentTranslator, name: str = "local") -> None:
        self.name = name
        self._translator = translator
        self._events: deque[Event] = deque()

    def start(self) -> None:
        """Ready at once."""
        translator = self._translator
        facts = ModelFacts(translator.version, self.name, translator.rows, translator.pads)
        self._events += (ModelLoaded(facts, 0.0), Ready())

    def submit(self, group: Group) -> None:
        """Translate it; an error fails the whole group."""
        options = SearchOptions(group.beam_size, group.length_penalty)
        try:
            translations = self._translator.translate_pieces(group.sources, options)
            _require_as_many(translations, len(group.sources))
        except Exception as error:  # noqa: BLE001 - a poison may raise anything; its keeper pins it to one segment
            places = tuple(range(len(group.sources)))
            fault, detail = fault_of(error)
            model_fault = self._probe(options) if len(places) == 1 and fault is Fault.ERROR else ""
            self._events.append(Unanswered(group.number, places, fault, detail, model_fault))
        else:
            self._events.append(Answered(group.number, tuple(enumerate(translations))))

    def load(self, version: str, source: ModelSource) -> None:  # noqa: ARG002
        """Refused: this device is its one translator."""
        self._events.append(ModelRefused(version, f"the device {self.name} has one model, and cannot take {version}"))

    def unload(self, version: str) -> None:
        """Its translator stays."""

    def forget(self, version: str) -> None:
        """It never had another."""

    def receive(self, timeout_seconds: float) -> list[Event]:
        """What `submit` left; never blocks longer than it must."""
        if not self._events:
            time.sleep(0 if timeout_seconds <= 0 else min(timeout_seconds, 0.01))
        events = list(self._events)
        self._events.clear()
        return events

    def end(self, seconds: float) -> None:  # noqa: ARG002
        """Close the translator."""
        self._translator.close()

    def _probe(self, options: SearchOptions) -> str:
        """The name of the model's error on a plain word; "" if there is none."""
        try:
            target = self._translator.pairs[0][1]
            self._translator.translate_pieces(self._translator.encode([PROBE], target), options)
        except Exception as error:  # noqa: BLE001 - as above
            return type(error).__name__
        return ""


def _require_as_many(translations: list[Translation], sources: int) -> None:
    if len(translations) != sources:
        raise ValueError(f"the model gave {len(translations)} translations for {sources} segments")
