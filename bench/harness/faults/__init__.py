"""The parts of the fault bench: numbered words, histories and their checks, servers that may be killed, calls."""
