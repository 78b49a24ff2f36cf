"""How fast riemod is, against what users would write: `python -m benchmarks.speed`."""
