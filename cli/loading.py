"""Loads a checkpoint for a command, as the settings say: on which device, with which engine, with how many threads."""

from pathlib import Path

import torch

from ..model.engine.limits import EngineLimits
from ..model.shipped import find_checkpoint
from ..model.translator import Translator
from ..settings import Settings, load_settings


def load_translator(folder: Path, device: str | None) -> Translator:
    """The checkpoint in `folder`, or the shipped one of that name, on `device`, or on DRAGOMAN_DEVICE.

    DRAGOMAN_THREADS bounds the CPU threads.
    """
    given = {} if device is None else {"device": device}
    return load_as_set(find_checkpoint(str(folder)), load_settings(**given))


def load_as_set(folder: Path, settings: Settings) -> Translator:
    """The checkpoint in `folder` on the engine that the settings name."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    limits = EngineLimits(rows=settings.engine_rows, cache_bytes=settings.engine_cache_bytes)
    return Translator.load(folder, settings.device, settings.engine, settings.precision, limits)
