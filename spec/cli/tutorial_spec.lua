-- The tutorial, from top to bottom, on a real server: what it shows is what happens.
local console = require "spec.support.console"

describe("docs/tutorial.md", function()
  for _, section in ipairs(console.sections "docs/tutorial.md") do it(section.name, section.play) end
end)
