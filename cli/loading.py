"""Loads a checkpoint for a command, as the settings say: on which device, with how many threads."""

from pathlib import Path

import torch

from ..model.translator import Translator
from ..settings import load_settings


def load_translator(folder: Path, device: str | None) -> Translator:
    """The checkpoint `folder` on `device`, or on DRAGOMAN_DEVICE; DRAGOMAN_THREADS bounds the CPU threads."""
    settings = load_settings()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return Translator.load(folder, device or settings.device)
