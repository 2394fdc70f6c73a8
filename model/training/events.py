"""Events for TensorBoard. Knows their file, nothing of reports.

tensorboardX's own `SummaryWriter` writes in a thread, which dies on a full disk: ten events later the run would wait
for it for ever. So events are written here, where the error can be heard; tensorboardX knows the format.
"""

import socket
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

# What TensorBoard wants to read at the beginning of each file.
FILE_VERSION = "brain.Event:2"


class EventFile:
    """A new file of events in `folder`; TensorBoard forgets what others there say of steps after `step` (0: keeps all).

    Every call may raise OSError; close it then, too.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder by name, the oldest first.
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"))
        self._write(Event(file_version=FILE_VERSION))
        if step:
            self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, name: str, value: float, step: int) -> None:
        """Add one point of the curve `name`; it may be buffered."""
        self._write(Event(step=step, summary=scalar(name, value)))

    def flush(self) -> None:
        """Have the disk take what is buffered."""
        self._records.flush()

    def close(self) -> None:
        """Write out what is buffered; the file is closed even if that fails."""
        self._records.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
