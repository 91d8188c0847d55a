-- move.lua: moves one pending entry of a stream to the dead letters. Atomic: an entry is acknowledged
-- if and only if its letter is written, and written once however often it is asked for.
-- KEYS[1] stream   parley:{P}:stream, parley:{P}:receipts    KEYS[2] dead letters   parley:{P}:dead
-- ARGV[1] group    ARGV[2] entry id     ARGV[3] reason    ARGV[4] name of the stream in the letter
-- returns the id of the letter, or '' when the entry is not pending (somebody else has done with it)
--
-- The letter has the fields of the entry as they were and then dead_stream, dead_entry (its id),
-- dead_reason, dead_attempts (how often it was delivered) and dead_at (ms). Of an entry with more fields
-- than a command can be given, dead_packed has them all, in MessagePack; of one that is not in the stream
-- any more nothing but these is left.
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
