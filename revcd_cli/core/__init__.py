"""The mathematics of RevCD: torch only, no files, no printing. Reading order follows docs/method.md."""
