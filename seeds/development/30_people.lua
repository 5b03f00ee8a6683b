-- Who is where, and in which role. Mira owns Trovella and looks after Halden as an admin.
local members = {
  { "org_trovella", "usr_mira", "owner", "2026-01-12 08:31:00" },
  { "org_trovella", "usr_jonas", "member", "2026-01-14 09:15:00" },
  { "org_halden", "usr_priya", "owner", "2026-02-03 11:50:00" },
  { "org_halden", "usr_tomas", "member", "2026-02-27 15:24:00" },
  { "org_halden", "usr_mira", "admin", "2026-03-01 07:58:00" },
}

local rows = {}
for _, m in ipairs(members) do
  rows[#rows + 1] = {
    id = "mem_" .. m[1]:gsub("^org_", "") .. "_" .. m[2]:gsub("^usr_", ""),
    organization_id = m[1], user_id = m[2], role = m[3], created_at = m[4],
  }
end
seed.copy("member", { "id", "organization_id", "user_id", "role", "created_at" }, rows)

seed.copy("personal_access_token", { "organization_id", "user_id", "name", "token_hash", "token_prefix", "scopes" }, {
  { "org_trovella", "usr_mira", "laptop", "b4f1c0de5eed0001", "trv_laptop", { "plans:read", "plans:write" } },
  { "org_halden", "usr_priya", "nightly export", "b4f1c0de5eed0002", "trv_export", { "plans:read" } },
})
