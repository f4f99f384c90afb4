"""Folders that the benchmarks read and write."""

from pathlib import Path

#: The root of the clone.
ROOT = Path(__file__).resolve().parents[2]
#: Result files, with machine, versions, date and command.
RESULTS = ROOT / "benchmarks" / "results"
#: Pictures of the documents.
PICTURES = ROOT / "docs" / "images"
#: Helpers of the tests, which some benchmarks put on `sys.path`.
TEST_SUPPORT = ROOT / "tests" / "support"
#: What `benchmarks.noise.record_noise` recorded of a real machine.
NOISE_TRACE = ROOT / "benchmarks" / "noise" / "trace.npz"
