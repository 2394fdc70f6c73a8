"""Every fault of the suite, in the order of the matrix."""

from dragoman.tests.faults.group_faults import GROUP_FAULTS
from dragoman.tests.faults.input_faults import INPUT_FAULTS
from dragoman.tests.faults.kafka_faults import KAFKA_FAULTS
from dragoman.tests.faults.postgres_faults import POSTGRES_FAULTS
from dragoman.tests.faults.process_faults import PROCESS_FAULTS
from dragoman.tests.faults.report import place

FAULTS = tuple(
    sorted(
        (*PROCESS_FAULTS, *KAFKA_FAULTS, *GROUP_FAULTS, *POSTGRES_FAULTS, *INPUT_FAULTS),
        key=lambda fault: place(fault.number),
    )
)
