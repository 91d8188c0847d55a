-- lib.lua goes before each script here and in package consumer: ids of stream entries, and what a group has done.

-- less orders two entry ids. Milliseconds fit a double; a sequence may not, so it is compared as text.
local function less(a, b)
  local ams, aseq = string.match(a, '^(%d+)-?(%d*)$')
  local bms, bseq = string.match(b, '^(%d+)-?(%d*)$')
  if tonumber(ams) ~= tonumber(bms) then return tonumber(ams) < tonumber(bms) end
  if aseq == '' then aseq = '0' end
  if bseq == '' then bseq = '0' end
  if #aseq ~= #bseq then return #aseq < #bseq end
  return aseq < bseq
end

-- group_of returns what a group has of a stream, or nil when either is gone: delivered (the last id
-- delivered), read (entries-read, false when Redis does not know), pending (a count) and lowest (the
-- lowest id pending for any consumer, false for none).
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
