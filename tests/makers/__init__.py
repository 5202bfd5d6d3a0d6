"""Functions that make valid and invalid test files, with fixed seeds. They may import anything of the package."""
