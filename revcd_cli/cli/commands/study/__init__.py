"""The commands `revcd study cls-weight`, `denoise` and `ladder`.

Like every command, each is a thin layer over `pipeline.study`.
"""
