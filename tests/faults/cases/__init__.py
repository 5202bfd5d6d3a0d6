"""The cases of the fault tests, by subject. They import the runner, the shared model and tests.makers."""
