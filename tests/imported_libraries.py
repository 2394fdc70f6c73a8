"""What a module brings along when a fresh interpreter imports it."""

import subprocess
import sys

PROGRAM = """
import sys
import {modules}
print(*{{name.partition(".")[0] for name in sys.modules}})
"""


def libraries_of(*modules: str) -> set[str]:
    """Top-level names of everything that is imported with these modules."""
    program = PROGRAM.format(modules=", ".join(modules))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
