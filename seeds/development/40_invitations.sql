-- One invitation in each state that the settings page shows. The dates are relative, so that one is always open.
INSERT INTO invitation (id, organization_id, email, role, status, expires_at, inviter_id) VALUES
  ('inv_ana', 'org_trovella', 'ana@trovella.test', 'member', 'pending', now() + interval '7 days', 'usr_mira'),
  ('inv_jonas', 'org_trovella', 'jonas@trovella.test', 'member', 'accepted', now() - interval '30 days', 'usr_mira'),
  ('inv_chen', 'org_halden', 'chen.o''neill@halden.test', 'admin', 'canceled', now() - interval '1 day', 'usr_priya');

-- A password account for everybody; the hash is no password's.
INSERT INTO account (id, account_id, provider_id, user_id, password, updated_at)
SELECT 'acc_' || substr(id, 5), id, 'credential', id, '$argon2id$development$not-a-real-hash', now()
FROM "user";
