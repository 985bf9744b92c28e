#!/usr/bin/env python3
"""Register this server with Retell: `retell_ws register`, for who would rather call a script.

.venv/bin/python scripts/register_agent.py --url wss://your-host/llm-websocket --create --voice retell-Cimo
"""

import sys

try:
    from retell_ws.__main__ import main
except ModuleNotFoundError as exc:
    sys.exit(
        f"register_agent.py: {exc.name} is not installed for this Python: "
        "pip install '.[retell]', or use .venv/bin/python after scripts/run"
    )

if __name__ == "__main__":
    main(["register", *sys.argv[1:]])
