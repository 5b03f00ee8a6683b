local classify = require "migrator.plan.classify"

local function sha(digit) return tostring(digit):rep(64) end

local function entry(digit, when) return { tag = "e" .. digit, hash = sha(digit), when = when } end

local function row(id, hash, created_at) return { id = id, hash = hash, created_at = created_at } end

-- The states as one text: "e1=applied:7 e2=pending".
local function states(found)
  local out = {}
  for i, item in ipairs(found.items) do
    out[i] = item.entry.tag .. "=" .. item.state .. (item.row and ":" .. item.row.id or "")
  end
  return table.concat(out, " ")
end

local function ids(list, get)
  local out = {}
  for i, item in ipairs(list) do out[i] = get(item) end
  return out
end

local function row_id(item) return item.id end
local function duplicate(item) return item.row.id .. ":" .. item.entry.tag end

describe("plan.classify", function()
  it("calls everything pending where nothing is tracked", function()
    local found = classify.run({ entry(1, 10), entry(2, 20) }, {})
    assert.equal("e1=pending e2=pending", states(found))
    assert.is_nil(found.newest)
    assert.same({ applied = 0, moved = 0, edited = 0, stranded = 0, pending = 2, baseline = 0 }, found.counts)
  end)

  it("finds nothing in nothing", function()
    assert.same({ {}, {}, {} }, { classify.run({}, {}).items, classify.run({}, {}).missing,
      classify.run({}, {}).duplicates })
  end)

  it("calls an entry applied whose hash and `when` are tracked", function()
    local found = classify.run({ entry(1, 10), entry(2, 20) }, { row(7, sha(1), 10) })
    assert.equal("e1=applied:7 e2=pending", states(found))
    assert.equal(10, found.newest)
  end)

  it("calls an entry moved whose hash is tracked under another `when`, earlier or later", function()
    assert.equal("e1=moved:1 e2=moved:2",
      states(classify.run({ entry(1, 10), entry(2, 20) }, { row(1, sha(1), 15), row(2, sha(2), 12) })))
  end)

  it("calls an entry edited whose `when` is tracked with another hash", function()
    assert.equal("e1=edited:1", states(classify.run({ entry(1, 10) }, { row(1, sha(9), 10) })))
  end)

  it("calls an entry baseline whose `when` is tracked with what is no hash", function()
    for _, hash in ipairs { "baseline", "", sha(1):sub(1, 63), sha(1) .. "1", ("g"):rep(64) } do
      assert.equal("e1=baseline:1", states(classify.run({ entry(1, 10) }, { row(1, hash, 10) })))
    end
  end)

  it("R32 calls an entry stranded that is in neither and not newer than the newest row", function()
    local found = classify.run({ entry(1, 10), entry(2, 15), entry(3, 20), entry(4, 21) },
      { row(1, sha(1), 10), row(2, sha(9), 20), row(3, sha(8), 12) })
    assert.equal("e1=applied:1 e2=stranded e3=edited:2 e4=pending", states(found))
    assert.equal("e1=stranded", states(classify.run({ entry(1, 20) }, { row(1, sha(9), 21) })))
  end)

  it("calls stranded what has the `when` of a row that explains another entry", function()
    assert.equal("e1=applied:1 e2=stranded",
      states(classify.run({ entry(1, 10), entry(2, 10) }, { row(1, sha(1), 10) })))
  end)

  it("finds the newest row wherever it is", function()
    local found = classify.run({ entry(1, 15) }, { row(1, sha(2), 10), row(2, sha(3), 30), row(3, sha(4), 20) })
    assert.equal(30, found.newest)
    assert.equal("e1=stranded", states(found))
  end)

  it("names the rows that no entry explains", function()
    local found = classify.run({ entry(1, 10) }, { row(1, sha(1), 10), row(2, sha(2), 20), row(3, sha(3), 30) })
    assert.same({ 2, 3 }, ids(found.missing, row_id))
    assert.same({}, found.duplicates)
  end)

  it("names the rows that say again what another says, and does not call them missing", function()
    local found = classify.run({ entry(1, 10), entry(2, 20) },
      { row(1, sha(1), 10), row(2, sha(1), 10), row(3, sha(2), 20), row(4, sha(1), 11) })
    assert.equal("e1=applied:1 e2=applied:3", states(found))
    assert.same({ "2:e1", "4:e1" }, ids(found.duplicates, duplicate))
    assert.same({}, found.missing)
  end)

  it("takes two rows of one hash for two entries of one text", function()
    local twin = { tag = "twin", hash = sha(1), when = 20 }
    local found = classify.run({ entry(1, 10), twin }, { row(1, sha(1), 20), row(2, sha(1), 10) })
    assert.equal("e1=applied:2 twin=applied:1", states(found))
    found = classify.run({ entry(1, 10), twin }, { row(1, sha(1), 10) })
    assert.equal("e1=applied:1 twin=pending", states(found))
  end)

  describe("with a NULL created_at", function()
    it("knows the entry by its hash", function()
      local found = classify.run({ entry(1, 10), entry(2, 20) }, { row(1, sha(1), nil) })
      assert.equal("e1=moved:1 e2=pending", states(found))
      assert.is_nil(found.newest)
    end)

    it("calls the row missing when its hash is unknown", function()
      local found = classify.run({ entry(1, 10) }, { row(1, "baseline", nil) })
      assert.equal("e1=pending", states(found))
      assert.same({ 1 }, ids(found.missing, row_id))
    end)

    it("calls the row a duplicate beside one with a date", function()
      local found = classify.run({ entry(1, 10) }, { row(1, sha(1), nil), row(2, sha(1), 10) })
      assert.equal("e1=applied:2", states(found))
      assert.same({ "1:e1" }, ids(found.duplicates, duplicate))
    end)
  end)

  describe("gives a row to the entry it fits better", function()
    it("the same hash and `when` before the same hash", function()
      local twin = { tag = "twin", hash = sha(1), when = 5 }
      assert.equal("twin=pending e1=applied:1",
        states(classify.run({ { tag = "twin", hash = sha(1), when = 15 }, entry(1, 10) }, { row(1, sha(1), 10) })))
      assert.equal("twin=stranded e1=applied:1", states(classify.run({ twin, entry(1, 10) }, { row(1, sha(1), 10) })))
    end)

    it("the same hash before the same `when`", function()
      local found = classify.run({ entry(1, 10), entry(2, 20) }, { row(1, sha(2), 10) })
      assert.equal("e1=stranded e2=moved:1", states(found))
      assert.is_nil(found.items[1].row)
    end)

    it("in whatever order the rows come", function()
      local list = { entry(1, 10), entry(2, 20) }
      local first, second = row(1, sha(2), 10), row(2, sha(3), 20)
      for _, rows in ipairs { { first, second }, { second, first } } do
        assert.equal("e1=stranded e2=moved:1", states(classify.run(list, rows)))
        assert.same({ 2 }, ids(classify.run(list, rows).missing, row_id))
      end
    end)
  end)

  it("counts every entry once", function()
    local found = classify.run({ entry(1, 10), entry(2, 20), entry(3, 30), entry(4, 35), entry(5, 45), entry(6, 60) },
      { row(1, sha(1), 10), row(2, sha(2), 21), row(3, sha(9), 30), row(4, "by hand", 35), row(5, sha(8), 50) })
    assert.same({ applied = 1, moved = 1, edited = 1, baseline = 1, stranded = 1, pending = 1 }, found.counts)
    assert.same({ 5 }, ids(found.missing, row_id))
  end)

  it("leaves what it was given as it was", function()
    local list, rows = { entry(1, 10) }, { row(1, sha(1), 11) }
    classify.run(list, rows)
    assert.same({ { entry(1, 10) }, { row(1, sha(1), 11) } }, { list, rows })
  end)
end)
