-- The other pages of docs/: what they show as a terminal is what happens.
local console = require "spec.support.console"

for _, name in ipairs { "verify", "seeds", "operations", "drizzle" } do
  local path = "docs/" .. name .. ".md"
  describe(path, function()
    for _, section in ipairs(console.sections(path)) do it(section.name, section.play) end
  end)
end
