"""Loads a checkpoint for a command, as the settings say: on which device, with how many threads."""

from pathlib import Path

import torch

from ..model.shipped import find_checkpoint
from ..model.translator import Translator
from ..settings import load_settings


def load_translator(folder: Path, device: str | None) -> Translator:
    """The checkpoint in `folder`, or the shipped one of that name, on `device`, or on DRAGOMAN_DEVICE.

    DRAGOMAN_THREADS bounds the CPU threads.
    """
    settings = load_settings()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return Translator.load(find_checkpoint(str(folder)), device or settings.device)
