"""The command `revcd predict`: its options, the run, and where the predictions are written."""
