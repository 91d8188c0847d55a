-- lib.lua: common functions, prepended to each script here and in the packages consumer and
-- receipts. They compare entry ids and read the progress of a consumer group.

-- less reports whether entry id a is below b. The milliseconds fit into a double, but the sequence
-- number may not, so it is compared as text.
local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-?(%d*)$')
  local bms, bseq = string.match(b, '^(%d+)-?(%d*)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  if aseq == '' then aseq = '0' end
  if bseq == '' then bseq = '0' end
  if #aseq ~= #bseq then return #aseq < #bseq end
  return aseq < bseq
end

-- group_of returns the state of a consumer group, or nil if the group or the stream does not exist.
-- The fields are delivered (the last delivered id), read (entries-read, or false if unknown to
-- Redis), pending (the number of pending entries) and lowest (the lowest pending id, or false).
local function group_of(stream, name)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == name then
      local pending = redis.call('XPENDING', stream, name)
      return {
        delivered = group['last-delivered-id'], read = group['entries-read'],
        pending = pending[1], lowest = pending[2],
      }
    end
  end
  return nil
end

-- count_undelivered returns the number of entries that were never delivered to the group, or nil if
-- there are more than limit.
local function count_undelivered(stream, group, limit)
  local from, count = group.delivered, 0
  while true do
    local page = redis.call('XRANGE', stream, '(' .. from, '+', 'COUNT', math.min(1000, limit + 1 - count))
    count = count + #page
    if count > limit then return nil end
    if #page < 1000 then return count end
    from = page[#page][1]
  end
end

-- added_of returns the total number of entries ever added to a stream, and the last id that it
-- generated.
local function added_of(stream)
  local info, flat = {}, redis.call('XINFO', 'STREAM', stream)
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  return info['entries-added'], info['last-generated-id']
end

-- correct_read returns the correct value of a group's entries-read, or false if it is not known.
-- mirror is the key that mirrors the stream's watermark, or nil.
--
-- Redis neither replicates entries-read nor writes it to the append-only file. A promoted replica,
-- or a Redis server that restarted after BGREWRITEAOF, has an outdated value. The value is
-- certainly wrong in two cases: all entries are delivered but it differs from entries-added, or it
-- is below the count in the mirror. In these cases, correct_read counts the undelivered entries. If
-- there are too many to count, the value stays unknown until a later call.
local MAX_UNDELIVERED = 10000
local function correct_read(stream, group, mirror)
  local total, last = added_of(stream)
  local read, mirrored = group.read, -1
  if mirror then mirrored = tonumber(redis.call('HGET', mirror, 'added') or '-1') end
  if group.delivered == last or #redis.call('XRANGE', stream, '(' .. group.delivered, '+', 'COUNT', 1) == 0 then
    return total
  elseif not read or read - group.pending < mirrored then
    local waiting = count_undelivered(stream, group, MAX_UNDELIVERED)
    return waiting and total - waiting
  end
  return read
end
