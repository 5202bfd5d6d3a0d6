"""Tests that need an NVIDIA GPU. On the CPU they run as a dry run: REVCD_TEST_DEVICE=cpu."""
