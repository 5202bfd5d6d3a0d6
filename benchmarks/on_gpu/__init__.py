"""The sections of benchmarks/gpu.py, and what they share. May import revcd_cli and the scripts of benchmarks."""
