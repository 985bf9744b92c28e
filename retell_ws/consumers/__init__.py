"""What reads the facts of calls: figures, transcripts, escalation, and what drives them."""
