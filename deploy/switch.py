#!/usr/bin/env python3
"""Change the switch: read the object on standard input, and print the new one.

    deploy/switch.py stop|start|ban|unban [UID] < OLD

If there is no object yet, the input is empty. This needs only Python and no installed package.
"""

import json
import sys

LARGEST = 200_000  # bytes of an object; the function reads at most 256 KiB


def main(verb: str, *uids: str) -> str | None:
    """Print the new object. Returns an error message, or None."""
    old = sys.stdin.read().strip()
    try:
        switch = json.loads(old or '{"stopped": false, "banned": []}')
        stopped, banned = bool(switch["stopped"]), [str(uid) for uid in switch["banned"]]
    except (ValueError, TypeError, KeyError):
        return 'The object is not a switch such as {"stopped": false, "banned": ["uid"]}.'
    for uid in uids:
        if "@" in uid or not uid:
            return "An account is banned by its uid: the `sub` in the function's log."
    match verb:
        case "stop" | "start":
            stopped = verb == "stop"
        case "ban":
            banned += [uid for uid in uids if uid not in banned]
        case "unban":
            banned = [uid for uid in banned if uid not in uids]
    new = json.dumps({"stopped": stopped, "banned": banned}, indent=1)
    if len(new) > LARGEST:
        return f"The list would be over {LARGEST // 1000} kB. Disable accounts in Firebase instead."
    print(new)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
