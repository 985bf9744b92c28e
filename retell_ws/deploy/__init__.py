"""Which blueprint fits, the files of each (settings, proxy, containers, Kubernetes), and how one moves to it."""
