"""Whether a device still moves. Pure: the caller brings the time."""

# Loading may compile, and capture graphs.
LOADING_SECONDS = 600.0


class Watch:
    """Tells a device that works from one that hangs."""

    def __init__(self, most_seconds: float, now_seconds: float) -> None:
        """With work in hand, something must move within `most_seconds`."""
        self._most_seconds = most_seconds
        self._moved_at_seconds = now_seconds
        self._loading_since_seconds: float | None = None
        self._progress = -1

    def moved(self, now_seconds: float) -> None:
        """Something came of its work, or it was just given some."""
        self._moved_at_seconds = now_seconds

    def beat(self, progress: int, now_seconds: float, *, is_loading: bool, is_busy: bool) -> None:
        """It lives; with work in hand that alone is not enough."""
        if is_loading and self._loading_since_seconds is None:
            self._loading_since_seconds = now_seconds
        if not is_loading:
            self._loading_since_seconds = None
        loads = is_loading and now_seconds - (self._loading_since_seconds or now_seconds) < LOADING_SECONDS
        if loads or not is_busy or progress != self._progress:
            self._moved_at_seconds = now_seconds
        self._progress = progress

    def is_overdue(self, now_seconds: float) -> bool:
        """Whether it hangs."""
        return now_seconds - self._moved_at_seconds > self._most_seconds
