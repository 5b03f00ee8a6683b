-- People to log in as. Starts from nothing each time, so everything that belongs to an organization goes with it:
-- `migrator seed` puts the research and search tiers back right after.
return {
  name = "development",
  order = 20,
  environments = { "development", "staging", "test" },
  idempotent = false,
  needs = { "reference" },
  description = "users, organizations, members, invitations, tokens",
  truncates = {
    "user", "session", "account", "verification", "organization", "member", "invitation", "personal_access_token",
    "research_plan", "plan_step", "research_artifact", "research_output", "research_feedback", "plan_audit_log",
    "skill_execution", "ai_usage", "mcp_tool_call_log", "document_chunk",
  },
}
