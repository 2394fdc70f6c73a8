"""How long a thread may keep Python's interpreter while others want it. Knows the clock; of jobs only that they came.

A thread that wants the interpreter waits until the one that has it lets go, which it must after an interval that holds
for the whole process. An interactive job passes five threads and waits for the interpreter some ten times on its way;
beside threads that are busy with bulk, most of its time is that. Shorter turns cost those a tenth of what they get
done, so turns are short only while somebody waits for an answer.
"""

import sys
import time
from collections.abc import Callable

CALM_SECONDS = sys.getswitchinterval()
HURRIED_SECONDS = 0.0005
# An interactive job that came within this says that more will come.
LATELY_SECONDS = 1.0


class InterpreterTurns:
    """Makes them short while interactive jobs come, and as long as they were afterwards."""

    def __init__(
        self,
        set_interval: Callable[[float], None] = sys.setswitchinterval,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._set_interval = set_interval
        self._clock = clock
        self._hurried_until_seconds = 0.0
        self._hurried = False

    def saw(self, *, interactive: bool) -> None:
        """What came just now: interactive jobs, or others, or nothing."""
        now = self._clock()
        if interactive:
            self._hurried_until_seconds = now + LATELY_SECONDS
        hurried = now < self._hurried_until_seconds
        if hurried != self._hurried:
            self._hurried = hurried
            self._set_interval(HURRIED_SECONDS if hurried else CALM_SECONDS)
