"""What a retraining has done so far, in a file of its run folder: whoever is killed goes on from there."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

JOURNAL = "retrain.json"


class Journal:
    """Steps by name, each with what it found; written before the next begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / JOURNAL
        self._steps: dict[str, dict[str, Any]] = json.loads(self._path.read_text()) if self._path.is_file() else {}

    def __contains__(self, step: str) -> bool:
        return step in self._steps

    def __getitem__(self, step: str) -> dict[str, Any]:
        return self._steps[step]

    def done(self, step: str, **facts: Any) -> None:
        """A step has ended; the file is replaced as a whole."""
        self._steps[step] = facts | {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._steps, indent=2) + "\n")
        os.replace(fresh, self._path)
        log.info("retrain_step_done", step=step, run_folder=str(self.folder), **facts)


def open_journal(runs: Path, last_step: str) -> Journal:
    """The latest run of a folder if it has not come to its last step, else one of its own."""
    unfinished = [journal for journal in map(Journal, sorted(runs.glob("*/"))) if last_step not in journal]
    if unfinished:
        return unfinished[-1]
    folder = runs / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    return Journal(folder)
