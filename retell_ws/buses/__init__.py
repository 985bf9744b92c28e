"""Where facts go, and where consumers read them."""
