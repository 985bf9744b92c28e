"""The implementations of `ports.Model`, one a file; picked at start by `blueprints.py`."""
