"""What importing the methods costs."""

import subprocess
import sys

HEAVY = ("torch", "sklearn", "scipy.stats", "zarr", "starnet.synthesis")


def test_heavy_libraries_wait_until_they_are_needed():
    code = f"import sys, starnet.baselines; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
