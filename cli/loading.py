"""Loads a checkpoint for a command, as the settings say: on which device, with which engine, with how many threads."""

from pathlib import Path

import torch

from ..model.engine.limits import EngineLimits
from ..model.shipped import find_checkpoint
from ..model.translator import Translator
from ..settings import Settings, load_settings


def load_translator(
    folder: Path, device: str | None, engine: str | None = None, precision: str | None = None
) -> Translator:
    """The checkpoint in `folder`, or the shipped one of that name; what is None is as the settings say.

    DRAGOMAN_THREADS bounds the CPU threads.
    """
    given = {"engine": engine, "precision": precision}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    return load_as_set(find_checkpoint(str(folder)), settings, device)


def load_as_set(folder: Path, settings: Settings, device: str | None = None) -> Translator:
    """The checkpoint in `folder` on the engine that the settings name, and on their device unless one is given."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    limits = EngineLimits(
        rows=settings.engine_rows, cache_bytes=settings.engine_cache_bytes, shapes=settings.engine_shapes
    )
    return Translator.load(folder, device or settings.device, settings.engine, settings.precision, limits)
