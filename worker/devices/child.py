"""Where the process of a device begins. Knows how to end with its parent, and leaves the rest to `DeviceServer`."""

import ctypes
import faulthandler
import os
import signal
import sys
from multiprocessing.connection import Connection

from .device_models import DeviceOrder

# <sys/prctl.h>
_PR_SET_PDEATHSIG = 1


def serve(connection: Connection, order: DeviceOrder, parent: int) -> None:
    """Run the device until the worker closes the pipe or is gone."""
    # A terminal and some supervisors signal the whole group; the worker says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent(parent)
    faulthandler.enable()
    _configure_logging(order)
    from .device_server import DeviceServer

    DeviceServer(connection, order, parent).run()


def _die_with_parent(parent: int) -> None:
    """Have the kernel end us with the thread that started us: a hung model cannot read the pipe."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _configure_logging(order: DeviceOrder) -> None:
    from ...settings import Settings
    from ..logs import configure_logging

    configure_logging(Settings.model_construct(log_level=order.log_level, log_format=order.log_format))
