"""The page of `revcd data check`.

May import `pipeline` and the modules of `reports` above this folder.
"""
