"""What Redis itself does with dead letters: a letter, its counts and the retention are one command, whoever writes it.

Keys: the stream, the counts, the attempts by letter, what was sent again by its digest. Only entries that are given up
are read, so that a write costs the same however many letters there are.
"""

from __future__ import annotations

from typing import Final

DROPPED_AT_ONCE: Final = 200
"""Letters that one write gives up."""
MOST_SENT: Final = 100_000
SENT_SECONDS: Final = 604_800
"""How many letters that were sent again are remembered, in case the flow refuses them, and for how long at least."""

_ENTRY: Final = """
local stream, counts, attempts, sent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function out(entry)
  local kind, size = '', 0
  for place = 1, #entry[2], 2 do
    if entry[2][place] == 'kind' then kind = entry[2][place + 1] end
    if entry[2][place] == 'original' then size = #entry[2][place + 1] end
  end
  redis.call('XDEL', stream, entry[1])
  redis.call('HDEL', attempts, entry[1])
  redis.call('HINCRBY', counts, 'kept:' .. kind, -1)
  redis.call('HINCRBY', counts, 'bytes', -size)
end
"""

WRITE: Final = (
    _ENTRY
    + """
local keep, most_bytes, age = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now, kind = tonumber(ARGV[4]), ARGV[5]
if kind ~= '' then
  local original = ARGV[#ARGV]
  local id = redis.call('XADD', stream, '*', unpack(ARGV, 6))
  redis.call('HINCRBY', counts, 'written:' .. kind, 1)
  redis.call('HINCRBY', counts, 'kept:' .. kind, 1)
  redis.call('HINCRBY', counts, 'bytes', #original)
  if redis.call('EXISTS', sent) == 1 then
    local digest = redis.sha1hex(original)
    local history = redis.call('HGET', sent, digest)
    if history then
      redis.call('HSET', attempts, id, history)
      redis.call('HDEL', sent, digest)
    end
  end
end
local old = ''
if age > 0 and now >= tonumber(redis.call('HGET', counts, 'looked_at') or 0) + 60000 then
  redis.call('HSET', counts, 'looked_at', now)
  old = now - age
end
for number = 1, DROPPED_AT_ONCE do
  local letters = redis.call('XLEN', stream)
  local cause = ''
  if letters > keep then
    cause = 'number'
  elseif letters > 1 and most_bytes > 0 and tonumber(redis.call('HGET', counts, 'bytes') or 0) > most_bytes then
    cause = 'bytes'
  end
  if cause == '' and old == '' then break end
  local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not entry then break end
  if cause == '' then
    if tonumber(string.match(entry[1], '^%d+')) >= old then break end
    cause = 'age'
  end
  out(entry)
  redis.call('HINCRBY', counts, 'dropped:' .. cause, 1)
  if number == DROPPED_AT_ONCE and old ~= '' then redis.call('HSET', counts, 'looked_at', 0) end
end
"""
).replace("DROPPED_AT_ONCE", str(DROPPED_AT_ONCE))
"""ARGV: letters kept, bytes kept (0: any number), milliseconds kept (0: for ever), now in milliseconds, the kind
(empty: only the retention), then the fields, `original` last. Age is looked at
once a minute, at each write while there is more to give up. The answer is nothing."""

TAKE_OUT: Final = (
    (
        _ENTRY
        + """
local taken = 0
for place = 1, #ARGV, 3 do
  local entry = redis.call('XRANGE', stream, ARGV[place], ARGV[place])[1]
  if entry then
    out(entry)
    taken = taken + 1
    if ARGV[place + 1] ~= '' and redis.call('HLEN', sent) < MOST_SENT then
      redis.call('HSET', sent, ARGV[place + 1], ARGV[place + 2])
      redis.call('EXPIRE', sent, SENT_SECONDS)
    end
  end
end
redis.call('HINCRBY', counts, 'replayed', taken)
return taken
"""
    )
    .replace("MOST_SENT", str(MOST_SENT))
    .replace("SENT_SECONDS", str(SENT_SECONDS))
)
"""ARGV: for each letter its id, the SHA-1 of what was sent in its place (empty: nothing), and its attempts as JSON. If
the flow refuses what was sent, the new letter goes on with those attempts."""

DROP: Final = (
    _ENTRY
    + """
local dropped = 0
for place = 1, #ARGV do
  local entry = redis.call('XRANGE', stream, ARGV[place], ARGV[place])[1]
  if entry then
    out(entry)
    dropped = dropped + 1
  end
end
redis.call('HINCRBY', counts, 'dropped:hand', dropped)
return dropped
"""
)
"""ARGV: ids of letters that somebody gives up."""

NOTE: Final = """
local stream, attempts = KEYS[1], KEYS[3]
for place = 1, #ARGV, 2 do
  if #redis.call('XRANGE', stream, ARGV[place], ARGV[place]) > 0 then
    redis.call('HSET', attempts, ARGV[place], ARGV[place + 1])
  end
end
"""
"""ARGV: for each letter its id and its attempts as JSON. A letter that is gone meanwhile leaves none."""
