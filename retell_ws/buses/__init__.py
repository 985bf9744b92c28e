"""Where facts go, and where consumers read them: each module implements `ports.Bus` or `ports.Source`."""
