"""Backbones: pretrained networks that turn a photo into a feature vector.

The networks come from timm; their weights from a file, an installed package or the Hugging Face hub. May import
`system`, `config` and `errors`.
"""
