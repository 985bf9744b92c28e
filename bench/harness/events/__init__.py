"""The bench of the blueprint `events`: what callers know must have happened, and what came out of the bus."""
