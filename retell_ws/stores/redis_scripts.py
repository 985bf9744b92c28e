"""What Redis does at one stroke: the Lua scripts that keep a call's hash with its newest owner.

| field | holds |
|---|---|
| `epoch` | a number that only grows: who attached last has the greatest |
| `owner` | the name of the server that has it |
| `since` | the epoch under which it was taken from another one: known even if the reply to that was lost |
| `p:<name>` | a part of where the call stands |
| `said` | what was said since the parts were written |
| `state` | the agent's own state |
| `e:<key>` | a side effect, as JSON |

Whoever writes names the epoch of its attach. A greater one in the hash means that another server has the call: refused
(0). None, or a smaller one, means that Redis has lost the record, by a restart or a failover: -1, and the writer brings
all of it anew. So it does when the greater one is its own, from a command that came late over a connection given up. An
epoch is at least the server's time in microseconds, so that it also grows over a Redis that has forgotten the last
one. There are no locks.

Each script has one key, as a cluster wants it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from .limits import TTL_S

__all__ = ["ALL", "APPLY", "ATTACH", "CLAIM", "LOST_RECORD", "REFUSED", "SAY", "UPLOAD", "WRITTEN", "Script"]

WRITTEN: Final = 1
REFUSED: Final = 0
LOST_RECORD: Final = -1


class Script:
    """A script, and the name Redis gives it.

    Args:
        text: In Lua.

    Attributes:
        text: In Lua.
        sha: What EVALSHA wants.
    """

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_FENCE: Final = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0
local mine = tonumber(ARGV[1])
if epoch > mine and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return 0 end
if epoch ~= mine then return -1 end
"""

_TIME: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

_KEEP: Final = f"redis.call('EXPIRE', KEYS[1], {TTL_S})"

ATTACH: Final = Script(
    f"""
{_TIME}
local kept = redis.call('HGETALL', KEYS[1])
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0
local owner = redis.call('HGET', KEYS[1], 'owner')
local new = string.format('%.0f', math.max(epoch + 1, now))
redis.call('HSET', KEYS[1], 'epoch', new, 'owner', ARGV[1])
if owner and owner ~= ARGV[1] then redis.call('HSET', KEYS[1], 'since', new) end
{_KEEP}
return {{1, new, kept}}
"""
)
"""Take a call. ARGV: server. Gives 1, the epoch, and the whole hash as it was."""

APPLY: Final = Script(
    f"""
{_FENCE}
local set = tonumber(ARGV[3])
if set > 0 then redis.call('HSET', KEYS[1], unpack(ARGV, 4, 3 + set)) end
if #ARGV > 3 + set then redis.call('HDEL', KEYS[1], unpack(ARGV, 4 + set)) end
{_KEEP}
return 1
"""
)
"""Change fields. ARGV: epoch, server, how many of the rest are to be set; fields and values; fields to delete."""

SAY: Final = Script(
    f"""
{_FENCE}
redis.call('HSET', KEYS[1], 'said', (redis.call('HGET', KEYS[1], 'said') or '') .. ARGV[3])
{_KEEP}
return 1
"""
)
"""Add to what was said. ARGV: epoch, server, text."""

CLAIM: Final = Script(
    f"""
{_FENCE}
if redis.call('HSETNX', KEYS[1], ARGV[3], ARGV[4]) == 0 then return redis.call('HGET', KEYS[1], ARGV[3]) end
{_KEEP}
return 1
"""
)
"""Set a field that is not there. ARGV: epoch, server, field, value. Gives what is there already."""

UPLOAD: Final = Script(
    f"""
{_TIME}
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0
local owner = redis.call('HGET', KEYS[1], 'owner')
local mine = tonumber(ARGV[1])
local mode = ARGV[3]
local is_other = owner and owner ~= ARGV[2]
local since = tonumber(redis.call('HGET', KEYS[1], 'since')) or 0
local new
local kept = {{}}
if mode == 'attach' and (mine == 0 or epoch < mine or is_other or since > mine) then
  if is_other and epoch > now - tonumber(ARGV[4]) then return {{0}} end
  new = math.max(epoch + 1, now)
  kept = redis.call('HGETALL', KEYS[1])
else
  if is_other and epoch > mine then return {{0}} end
  new = math.max(epoch, mine)
  if mode ~= 'same' then new = new + 1 end
  redis.call('DEL', KEYS[1])
end
new = string.format('%.0f', new)
redis.call('HSET', KEYS[1], 'epoch', new, 'owner', ARGV[2])
if is_other and mode == 'attach' then redis.call('HSET', KEYS[1], 'since', new) end
if #ARGV > 4 then redis.call('HSET', KEYS[1], unpack(ARGV, 5)) end
{_KEEP}
return {{1, new, kept}}
"""
)
"""Bring all that a server knows of a call. ARGV: epoch, server, mode, microseconds since its attach; fields and values.

What is brought replaces the hash, so that what was deleted meanwhile is gone, unless an attach is made up for and
somebody else had the call since, or nobody knows: then whatever else the hash holds stays, and is told. The modes:

| mode | when | the epoch |
|---|---|---|
| `same` | the connection is that of the epoch | stays: what was sent after this is good |
| `again` | the connection is a new one | one more: what still comes over the old one is refused |
| `attach` | the last attach did not arrive | a new one, unless another server has attached *after* it |

One more only, so that of two servers which bring a call to a Redis that has lost it the later owner still has it. The
age is by the server's own clock and the time by Redis's, so that clocks need not agree."""

ALL: Final = (ATTACH, APPLY, SAY, CLAIM, UPLOAD)
