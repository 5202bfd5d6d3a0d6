"""Model files: reading, writing and upgrading them.

May import `scoring` and `core` (to build the model), `data.classes` (its class table), `system`, `config` and `errors`.
"""
