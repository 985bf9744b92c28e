"""Parts of the soak bench: an agent that tells what is in its process, callers who come and go, samples, verdicts."""
