-- The rules of count.py, which explains them, as one atomic step of a Redis server.
--
-- KEYS: for each book a hash, then for each book but the first a sorted set of sessions by their end.
-- A hash holds "limit SECONDS" and "budget SECONDS", each with a window as "end used next_used", and
-- in the first book "session ID" with the ends of its tokens. Moments are milliseconds of TIME.
-- ARGV: what to do, the ask, and what was granted if that is given back, both as JSON.
-- It returns JSON.

local TOKENS_A_SESSION, ALERT_AT, KEPT_AFTER = 3, 0.8, 60000

local action, ask = ARGV[1], cjson.decode(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local books, tokens, over_sessions = {}, {}, {}

local function whole(number) return string.format('%.0f', number) end

local function joined_text(numbers)
  local texts = {}
  for i, number in ipairs(numbers) do texts[i] = whole(number) end
  return table.concat(texts, ' ')
end

local function numbers_in(text)
  local numbers = {}
  for number in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  return numbers
end

local function most(numbers)
  local found = numbers[1]
  for _, number in ipairs(numbers) do found = math.max(found, number) end
  return found
end

-- Read a window as it is now.
local function window(stored, kind, limit)
  local length = limit.seconds * 1000
  local name = kind .. ' ' .. whole(limit.seconds)
  local last, used, next_used = unpack(numbers_in(stored[name] or '0 0 0'))
  if now >= last and now < last + length and next_used > 0 then
    last, used, next_used = last + length, next_used, 0
  elseif now >= last or used + next_used == 0 then
    last, used, next_used = now + length, 0, 0
  end
  return { name = name, length = length, amount = limit.amount,
           last = last, used = used, next_used = next_used }
end

-- Read a book, and forget the tokens and sessions that are over.
local function read(index, bounds)
  local stored, flat = {}, redis.call('HGETALL', KEYS[index])
  for i = 1, #flat, 2 do stored[flat[i]] = flat[i + 1] end
  local book = { index = index, key = KEYS[index], bounds = bounds, limits = {}, budgets = {} }
  for i, limit in ipairs(bounds.limits) do book.limits[i] = window(stored, 'limit', limit) end
  for i, limit in ipairs(bounds.budgets) do
    book.budgets[i] = window(stored, 'budget', limit)
    book.budgets[i].amount = limit.amount * 1000
  end
  if index > 1 then
    book.ends = KEYS[#ask.bounds + index - 1]
    redis.call('ZREMRANGEBYSCORE', book.ends, '-inf', whole(now))
    return book
  end
  for name, text in pairs(stored) do
    local session = string.match(name, '^session (%d+)$')
    if session then
      local usable = {}
      for _, last in ipairs(numbers_in(text)) do
        if last > now then usable[#usable + 1] = last end
      end
      if #usable > 0 then tokens[session] = usable else over_sessions[#over_sessions + 1] = name end
    end
  end
  return book
end

local function count(book)
  if book.ends then return redis.call('ZCARD', book.ends) end
  local found = 0
  for _ in pairs(tokens) do found = found + 1 end
  return found
end

local function has(book, session)
  if book.ends then return redis.call('ZSCORE', book.ends, session) end
  return tokens[session]
end

-- When a token less lets a resume join, or when a session ends.
local function room_at(book)
  local found = math.huge
  if book.ends then
    local first = redis.call('ZRANGE', book.ends, 0, 0, 'WITHSCORES')
    return tonumber(first[2])
  end
  for _, ends in pairs(tokens) do
    local last = most(ends)
    if ask.resumes then for _, each in ipairs(ends) do last = math.min(last, each) end end
    found = math.min(found, last)
  end
  return found
end

local function joined()
  local found, first
  for session, ends in pairs(tokens) do
    local last = most(ends)
    local is_first = not first or last < first
      or (last == first and tonumber(session) < tonumber(found))
    if #ends < TOKENS_A_SESSION and is_first then found, first = session, last end
  end
  return found
end

local function paid_until(budget, begin)
  local within = begin + math.max(0, budget.amount - budget.used)
  if within < budget.last then return within end
  local beyond = math.max(begin, budget.last) + math.max(0, budget.amount - budget.next_used)
  return math.min(beyond, budget.last + budget.length)
end

local function pays_at(budget, begin)
  local has_room = budget.next_used + ask.least <= budget.amount and begin < budget.last
  return has_room and budget.last or budget.last + budget.length
end

local function share(budget, begin, last)
  local used = math.max(0, math.min(last, budget.last) - begin)
  return { budget.last, used, math.max(0, last - begin - used) }
end

local function full(book, kind, at)
  return { full = { book.index - 1, kind, at - now } }
end

local function decide()
  local session = ask.resumes and joined()
  local usable = session and tokens[session] or {}
  local begin, last = now, now + ask.life
  if #usable == 1 then begin = usable[1] end
  local is_joined = session and true or false
  session = session or ask.session
  for _, book in ipairs(books) do
    for _, limit in ipairs(book.limits) do
      if limit.used >= limit.amount then return full(book, 'limit', limit.last) end
    end
    for _, budget in ipairs(book.budgets) do
      last = math.min(last, paid_until(budget, begin))
      if last < now + ask.least then return full(book, 'budget', pays_at(budget, begin)) end
    end
    local at_once = book.bounds.at_once
    if at_once and not has(book, session) and count(book) >= at_once then
      return full(book, 'at_once', room_at(book))
    end
  end
  local granted = { session = session, joined = is_joined, life = last - now, last = last,
                    charged = math.max(0, last - begin), limits = {}, budgets = {} }
  for i, book in ipairs(books) do
    granted.limits[i], granted.budgets[i] = {}, {}
    for j, limit in ipairs(book.limits) do granted.limits[i][j] = { limit.last, 1, 0 } end
    for j, budget in ipairs(book.budgets) do granted.budgets[i][j] = share(budget, begin, last) end
  end
  return granted
end

local function nearly_full(book)
  local found = { limit = false, budget = false, at_once = false }
  if book.index == 1 then return found end
  for kind, windows in pairs({ limit = book.limits, budget = book.budgets }) do
    for _, each in ipairs(windows) do
      if each.used >= ALERT_AT * each.amount then found[kind] = true end
    end
  end
  local at_once = book.bounds.at_once
  found.at_once = at_once and count(book) >= ALERT_AT * at_once or false
  return found
end

local function add(granted)
  local alerts = {}
  for i, book in ipairs(books) do
    local before = nearly_full(book)
    for kind, windows in pairs({ limits = book.limits, budgets = book.budgets }) do
      for j, each in ipairs(windows) do
        each.used = each.used + granted[kind][i][j][2]
        each.next_used = each.next_used + granted[kind][i][j][3]
      end
    end
    if book.bounds.at_once and book.ends then
      redis.call('ZADD', book.ends, 'GT', whole(granted.last), granted.session)
    elseif book.bounds.at_once then
      local ends = tokens[granted.session] or {}
      ends[#ends + 1] = granted.last
      tokens[granted.session] = ends
    end
    for kind, is_reached in pairs(nearly_full(book)) do
      if is_reached and not before[kind] then alerts[#alerts + 1] = { i - 1, kind } end
    end
  end
  local left
  for _, budget in ipairs(books[1].budgets) do
    left = math.min(left or math.huge, budget.amount - budget.used)
  end
  return { granted = granted, left = left, alerts = alerts }
end

local function take_out(granted)
  local ends = tokens[granted.session] or {}
  local is_free = not ask.bounds[1].at_once
  if ends[#ends] == granted.last then
    is_free, ends[#ends] = true, nil
    for _, other in ipairs(ends) do
      if other == granted.last then is_free = false end
    end
  end
  if #ends == 0 then
    tokens[granted.session] = nil
    over_sessions[#over_sessions + 1] = 'session ' .. granted.session
  end
  for i, book in ipairs(books) do
    for kind, windows in pairs({ limits = book.limits, budgets = book.budgets }) do
      for j, each in ipairs(windows) do
        local last, used, next_used = unpack(granted[kind][i][j])
        local counts = kind == 'limits' or is_free
        if counts and each.last == last then
          each.used, each.next_used = each.used - used, each.next_used - next_used
        elseif counts and each.last == last + each.length then
          each.used = each.used - next_used
        end
      end
    end
    if book.ends and is_free and redis.call('ZSCORE', book.ends, granted.session) then
      redis.call('ZADD', book.ends, whole(most(ends) or now), granted.session)
    end
  end
end

-- Write a book, which Redis forgets when nothing in it counts any more.
local function write(book)
  local fields, over = {}, now
  for _, windows in ipairs({ book.limits, book.budgets }) do
    for _, each in ipairs(windows) do
      fields[#fields + 1] = each.name
      fields[#fields + 1] = joined_text({ each.last, each.used, each.next_used })
      over = math.max(over, each.last + (each.next_used > 0 and each.length or 0))
    end
  end
  if not book.ends then
    for session, ends in pairs(tokens) do
      fields[#fields + 1] = 'session ' .. session
      fields[#fields + 1] = joined_text(ends)
      over = math.max(over, most(ends))
    end
  end
  if #over_sessions > 0 and not book.ends then
    redis.call('HDEL', book.key, unpack(over_sessions))
  end
  if #fields > 0 then
    redis.call('HSET', book.key, unpack(fields))
    redis.call('PEXPIRE', book.key, whole(over - now + KEPT_AFTER))
  end
  if book.ends then
    local last = redis.call('ZRANGE', book.ends, -1, -1, 'WITHSCORES')[2]
    if last then redis.call('PEXPIRE', book.ends, whole(tonumber(last) - now + KEPT_AFTER)) end
  end
end

for index, bounds in ipairs(ask.bounds) do books[index] = read(index, bounds) end
local answer = {}
if action == 'give back' then
  take_out(cjson.decode(ARGV[3]))
else
  answer = decide()
  if action == 'reserve' and not answer.full then answer = add(answer) end
end
if action == 'give back' or answer.granted then
  for _, book in ipairs(books) do write(book) end
end
return cjson.encode(answer)
