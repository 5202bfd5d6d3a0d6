"""The HTML pages of `revcd classes suggest` and `revcd classes glossary`.

May import `reports.pages`.
"""
