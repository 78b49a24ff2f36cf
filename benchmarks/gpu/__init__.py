"""What riemod does on a CUDA device, in one command of less than nine minutes: `python -m benchmarks.gpu`."""
