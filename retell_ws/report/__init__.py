"""What the figures of calls say: `retell_ws report`, as a page or as JSON."""
