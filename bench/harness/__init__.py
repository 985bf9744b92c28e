"""What the bench files share: processes on fixed cores, synthetic callers, rounds and reports."""
