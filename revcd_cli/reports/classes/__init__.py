"""The HTML page of `revcd classes suggest`.

May import `reports.pages`.
"""
