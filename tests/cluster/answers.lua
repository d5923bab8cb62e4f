-- answers.lua - wrk: predictions, each of which must be one of the lines of the file in ANSWERS. Prints "answers N", "failed N", "mixed N", and "seen LINE N" for each line.
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init()
    wrk.method, wrk.body, wrk.headers["Content-Type"] = "POST", os.getenv("BODY"), "application/json"
    expected, counts, failed, mixed, example = {}, {}, 0, 0, ""
    local n = 0
    for line in io.lines(os.getenv("ANSWERS")) do n = n + 1; expected[line .. "\n"] = n; counts[n] = 0 end
end
function response(status, headers, body)
    local n = expected[body]
    if status ~= 200 then failed = failed + 1; example = status .. " " .. body
    elseif not n then mixed = mixed + 1; example = body
    else counts[n] = counts[n] + 1 end
end
function done(summary)
    local f, m, seen = 0, 0, {}
    for _, thread in ipairs(threads) do
        f, m = f + thread:get("failed"), m + thread:get("mixed")
        if thread:get("example") ~= "" then print("example " .. thread:get("example")) end
        for n, count in pairs(thread:get("counts")) do seen[n] = (seen[n] or 0) + count end
    end
    local e = summary.errors
    print("answers " .. summary.requests, "failed " .. f + e.connect + e.read + e.write + e.timeout, "mixed " .. m)
    for n, count in ipairs(seen) do print("seen " .. n .. " " .. count) end
end
