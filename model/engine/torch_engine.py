"""An engine in plain PyTorch whose running batch lives on the device; on CUDA its steps are captured graphs.

Knows requests, their futures and the thread; the arithmetic is in `device`. Segments lie in lanes by beam size, in
buffers that are made once. New segments are encoded beside the decoding and join between two runs of a few steps; what
finished is read a run later, so that the device never waits for the host. On a CPU the same code runs in order.
"""

import threading
from collections.abc import Sequence

import torch

from ...errors import ConfigurationError
from ..architectures.network import Network
from .delivery import deliver, fail
from .device.running_batch import RunningBatch
from .device.settings import DeviceSettings
from .engine import Engine
from .occupancy import Occupancy
from .request import Request
from .turns import DeviceTurns
from .waiting import Waiting

# How long an idle engine sleeps at most; a request or `close` wakes it.
IDLE_SECONDS = 10.0


class TorchEngine(Engine):
    """Decodes Transformers, greedy and with beams, mixed in one running batch.

    It takes the network over: moves it to the device and into the precision, in place, and shares its parameters; the
    network still works by itself. A request that can never be decoded (too long, too wide a beam, options that only the
    reference knows) gets a `ConfigurationError` in its future. An error of the device ends the engine: all futures get
    it. Raises `ConfigurationError` for a network that is no Transformer.
    """

    has_own_weights = False
    takes_shortlists = True
    pads = True

    def __init__(
        self,
        network: Network,
        device: torch.device,
        settings: DeviceSettings | None = None,
        turns: DeviceTurns | None = None,
    ) -> None:
        """Begin to serve; engines that have the same `turns` share the device, each gets its share of the time."""
        self.settings = settings or DeviceSettings.of(device, "float32")
        self.name = f"torch {self.settings.precision}"
        self.rows = self.settings.rows
        self.occupancy = Occupancy()
        self._batch = RunningBatch(network, device, self.settings)
        self._turns = turns or DeviceTurns()
        self._waiting = Waiting(self.settings.waiting_segments)
        self._thread = threading.Thread(target=self._serve, name="torch-engine", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """See `Engine.is_closed`."""
        return self._waiting.is_closed

    @property
    def counted_occupancy(self) -> Occupancy:
        """See `Engine.counted_occupancy`."""
        return self.occupancy

    def submit(self, requests: Sequence[Request], timeout_seconds: float | None = None) -> None:
        """See `Engine.submit`; requests before one that found no room in time stay submitted."""
        possible = []
        for request in requests:
            try:
                self._batch.check(request)
            except ConfigurationError as error:
                fail([request], error)
            else:
                possible.append(request)
        self._waiting.put(possible, timeout_seconds)

    def close(self) -> None:
        """Fail what waits and what runs, stop the thread, give back the memory of the buffers."""
        fail(self._waiting.close(), ConfigurationError("the translator was closed before this segment's turn"))
        self._thread.join()

    @property
    def cache_bytes(self) -> int:
        """What the buffers take now; a lane's are made on its first use and never grow."""
        return sum(lane.cache_bytes for lane in self._batch.lanes)

    def _serve(self) -> None:
        failure: Exception = ConfigurationError("the translator was closed while this segment was decoded")
        try:
            with torch.inference_mode(), self._batch.ordered():
                while not self._waiting.is_closed:
                    self._round()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait get it
            failure = error
        fail([*self._waiting.close(), *self._batch.requests], failure)
        self._turns.leave(self)
        self._batch.close()

    def _round(self) -> None:
        with self._turns.turn(self):
            self._admit()
            for request in self._batch.drop_cancelled():
                request.future.set_running_or_notify_cancel()  # wakes who waits for it
            if not self._batch.is_empty:
                self._count()
            for request, found in self._batch.advance():
                self.occupancy.segments += 1
                deliver(request, found)
        if self._batch.is_empty:
            self._waiting.wait(IDLE_SECONDS)

    def _count(self) -> None:
        """Count a run as a step; lanes that stand still have no rows that could be in use."""
        shapes = [(lane.shape, len(lane.live)) for lane in self._batch.lanes if lane.live]
        self.occupancy.steps += 1
        self.occupancy.places += sum(shape.segments * shape.beam_size for shape, _ in shapes)
        self.occupancy.rows += sum(live * shape.beam_size for shape, live in shapes)

    def _admit(self) -> None:
        free = {lane: lane.free for lane in self._batch.lanes}

        def fits(request: Request) -> bool:
            lane = self._batch.lane_of(request)
            free[lane] -= 1
            return free[lane] >= 0

        most = sum(free.values())
        taken = self._waiting.take(fits, most) if most else []
        if taken:
            self._encode(taken)

    def _encode(self, requests: Sequence[Request]) -> None:
        try:
            self._batch.admit(requests)
        except Exception as error:
            inside = {id(request) for request in self._batch.requests}
            fail([request for request in requests if id(request) not in inside], error)
            if not isinstance(error, ConfigurationError):  # that is: no room for a lane's buffers
                raise
