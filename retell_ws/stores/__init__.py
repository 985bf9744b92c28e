"""Where calls are kept: each module implements `ports.CallStore`."""
