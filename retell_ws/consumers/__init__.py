"""What reads the facts of calls: one file a consumer, each with a group of its own on the bus."""
