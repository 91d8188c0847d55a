-- move.lua: moves one pending entry of a stream to the dead-letter stream. It is atomic: an entry
-- is acknowledged if and only if its dead letter is written. Even if the script runs again, it
-- writes only one dead letter.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts    KEYS[2] dead letters   parley:{P}:dead
-- ARGV[1] group    ARGV[2] entry id     ARGV[3] reason    ARGV[4] name of the stream for dead_stream
-- returns the id of the dead letter, or '' if the entry is not pending (already handled)
--
-- A dead letter has the original fields of the entry, followed by dead_stream, dead_entry (the
-- entry id), dead_reason, dead_attempts (number of deliveries) and dead_at (ms). If the entry has
-- more fields than a command can have arguments, dead_packed contains all fields in MessagePack
-- format. If the entry is no longer in the stream, its dead letter has only the dead_ fields.
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then return '' end
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
local fields = found[1] and found[1][2] or {}
if #fields > 4000 then fields = { 'dead_packed', cmsgpack.pack(fields) } end
local now = redis.call('TIME')
for _, field in ipairs({
  'dead_stream', ARGV[4], 'dead_entry', ARGV[2], 'dead_reason', ARGV[3], 'dead_attempts', pending[1][4],
  'dead_at', now[1] .. string.format('%03d', math.floor(now[2] / 1000)),
}) do
  fields[#fields + 1] = field
end
local letter = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return letter
