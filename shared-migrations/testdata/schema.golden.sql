CREATE FUNCTION public.blocked_between(one uuid, other uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  select exists (select from contacts k where k.state = 'blocked'
    and (k.user_id = one and k.contact_id = other or k.user_id = other and k.contact_id = one))
$$;

CREATE FUNCTION public.blocks_of(users uuid[]) RETURNS TABLE(user_id uuid, other_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  select k.user_id, k.contact_id from contacts k where k.user_id = any(users) and k.state = 'blocked'
  union
  select k.contact_id, k.user_id from contacts k where k.contact_id = any(users) and k.state = 'blocked'
$$;

CREATE FUNCTION public.count_channel_members() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
  -- Lock in a fixed order, so that two statements about several channels do not deadlock.
  perform from channels where id in (select channel_id from changed) order by id for no key update;
  update channels c set member_count = c.member_count + k.n,
      archived_at = case when c.kind = 'direct' or c.member_count + k.n > 0 then null else coalesce(c.archived_at, now()) end
    from (select channel_id, case tg_op when 'INSERT' then count(*) else -count(*) end as n from changed group by channel_id) k
    where c.id = k.channel_id;
  return null;
end
$$;

CREATE FUNCTION public.direct_blocked(channel uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
  select exists (
    select from channels c join contacts k on k.state = 'blocked'
      and ((k.user_id = c.direct_low and k.contact_id = c.direct_high)
        or (k.user_id = c.direct_high and k.contact_id = c.direct_low))
    where c.id = channel and c.kind = 'direct')
$$;

CREATE FUNCTION public.name_digest(lookalike text) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$ select sha256(secret || convert_to(lookalike, 'UTF8')) from name_secret $$;

CREATE FUNCTION public.note_erasure() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
  insert into erasures (user_id) values (new.id) on conflict do nothing;
  return null;
end
$$;

CREATE FUNCTION public.notify_outbox() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pg_notify('outbox', '');
  return null;
end
$$;

CREATE FUNCTION public.open_direct_channel(from_user uuid, to_user uuid) RETURNS TABLE(channel_id uuid, created boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  low  uuid := least(from_user, to_user);
  high uuid := greatest(from_user, to_user);
  made uuid;
begin
  if from_user = to_user then
    raise exception 'a direct channel needs two users' using errcode = 'PA400';
  end if;
  if (select count(*) from users u where u.id in (from_user, to_user) and u.deleted_at is null) <> 2 then
    raise exception 'no such user' using errcode = 'PA404';
  end if;
  if exists (select 1 from contacts k where k.state = 'blocked'
             and ((k.user_id = from_user and k.contact_id = to_user)
               or (k.user_id = to_user and k.contact_id = from_user))) then
    raise exception 'one of the two has blocked the other' using errcode = 'PA403';
  end if;

  insert into channels (kind, direct_low, direct_high, created_by)
    values ('direct', low, high, from_user)
    on conflict (direct_low, direct_high) where kind = 'direct' do nothing
    returning id into made;
  if made is null then
    return query select c.id, false from channels c
      where c.kind = 'direct' and c.direct_low = low and c.direct_high = high;
    return;
  end if;
  insert into channel_members (channel_id, user_id) values (made, from_user), (made, to_user);
  insert into outbox (kind, channel_id, actor_id, payload)
    values ('direct_opened', made, from_user, jsonb_build_object('user_ids', jsonb_build_array(low, high)));
  return query select made, true;
end
$$;

CREATE FUNCTION public.unknown_users(ids uuid[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$ select i from unnest(ids) i where not exists (select from users u where u.id = i) $$;

CREATE TABLE public.avatars (
    user_id uuid NOT NULL,
    hash text NOT NULL,
    content_type text NOT NULL,
    picture bytea NOT NULL,
    CONSTRAINT avatars_content_type_check CHECK ((content_type = ANY (ARRAY['image/png'::text, 'image/jpeg'::text]))),
    CONSTRAINT avatars_hash_check CHECK ((hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT avatars_picture_check CHECK ((octet_length(picture) <= 1048576))
);

CREATE TABLE public.channel_bans (
    channel_id uuid NOT NULL,
    user_id uuid NOT NULL,
    banned_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.channel_members (
    channel_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text DEFAULT 'member'::text NOT NULL,
    joined_at timestamp with time zone DEFAULT now() NOT NULL,
    joined_seq bigint DEFAULT 0 NOT NULL,
    last_delivered_seq bigint DEFAULT 0 NOT NULL,
    last_read_seq bigint DEFAULT 0 NOT NULL,
    CONSTRAINT channel_members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
);

CREATE TABLE public.channels (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    group_id uuid,
    direct_low uuid,
    direct_high uuid,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    member_count integer DEFAULT 0 NOT NULL,
    lookalike text,
    archived_at timestamp with time zone,
    mention_all text DEFAULT 'everyone'::text NOT NULL,
    CONSTRAINT channels_check CHECK (((kind = 'direct'::text) = ((direct_low IS NOT NULL) AND (direct_high IS NOT NULL)))),
    CONSTRAINT channels_check1 CHECK ((direct_low < direct_high)),
    CONSTRAINT channels_check2 CHECK (((kind = 'direct'::text) OR (name <> ''::text))),
    CONSTRAINT channels_kind_check CHECK ((kind = ANY (ARRAY['public'::text, 'unlisted'::text, 'private'::text, 'direct'::text]))),
    CONSTRAINT channels_member_count_check CHECK ((member_count >= 0)),
    CONSTRAINT channels_mention_all_check CHECK ((mention_all = ANY (ARRAY['everyone'::text, 'admins'::text])))
);

CREATE TABLE public.contacts (
    user_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contacts_check CHECK ((user_id <> contact_id)),
    CONSTRAINT contacts_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'accepted'::text, 'blocked'::text])))
);

CREATE TABLE public.devices (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.erasures (
    user_id uuid NOT NULL,
    erased_at timestamp with time zone DEFAULT now() NOT NULL,
    scrubbed_at timestamp with time zone
);

CREATE TABLE public.group_members (
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text DEFAULT 'member'::text NOT NULL,
    joined_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT group_members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
);

CREATE TABLE public.groups (
    id uuid NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone
);

CREATE TABLE public.invitations (
    id uuid NOT NULL,
    channel_id uuid,
    group_id uuid,
    user_id uuid NOT NULL,
    invited_by uuid NOT NULL,
    role text DEFAULT 'member'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    declined_at timestamp with time zone,
    CONSTRAINT invitations_check CHECK (((channel_id IS NULL) <> (group_id IS NULL))),
    CONSTRAINT invitations_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
);

CREATE TABLE public.message_reactions (
    channel_id uuid NOT NULL,
    message_id uuid NOT NULL,
    emoji text NOT NULL,
    user_id uuid NOT NULL,
    seq bigint NOT NULL,
    removed boolean NOT NULL,
    reacted_at timestamp with time zone NOT NULL
);

CREATE TABLE public.message_states (
    channel_id uuid NOT NULL,
    message_id uuid NOT NULL,
    edit_seq bigint DEFAULT 0 NOT NULL,
    edited_at timestamp with time zone,
    body text,
    mentions jsonb,
    delete_seq bigint,
    deleted_at timestamp with time zone,
    deleted_by uuid,
    waiting boolean DEFAULT false NOT NULL
);

CREATE TABLE public.messages (
    channel_id uuid NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    sender_id uuid NOT NULL,
    client_id uuid,
    target uuid,
    body text DEFAULT ''::text NOT NULL,
    data jsonb,
    sent_at timestamp with time zone NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT messages_seq_check CHECK ((seq > 0))
);

CREATE TABLE public.name_secret (
    secret bytea NOT NULL
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    kind text NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    channel_id uuid,
    actor_id uuid,
    subject_id uuid,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outbox_check CHECK (((channel_id IS NOT NULL) OR (subject_id IS NOT NULL)))
);

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.parley_schema_version (
    version integer NOT NULL
);

CREATE TABLE public.refresh_tokens (
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.reserved_names (
    digest bytea NOT NULL,
    until timestamp with time zone NOT NULL
);

CREATE TABLE public.sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

CREATE TABLE public.sync_watermarks (
    partition integer NOT NULL,
    entry_ms bigint DEFAULT 0 NOT NULL,
    entry_seq bigint DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sync_watermarks_partition_check CHECK ((partition >= 0))
);

CREATE TABLE public.token_keys (
    kid text NOT NULL,
    public_key bytea NOT NULL,
    confirmed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT token_keys_public_key_check CHECK ((octet_length(public_key) = 32))
);

CREATE TABLE public.users (
    id uuid NOT NULL,
    username text NOT NULL,
    email text NOT NULL,
    password_hash text NOT NULL,
    display_name text DEFAULT ''::text NOT NULL,
    bio text DEFAULT ''::text NOT NULL,
    avatar_url text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    operator boolean DEFAULT false NOT NULL,
    suspended_at timestamp with time zone,
    suspension_reason text DEFAULT ''::text NOT NULL,
    lookalike text,
    CONSTRAINT users_suspension_reason_check CHECK ((char_length(suspension_reason) <= 500)),
    CONSTRAINT users_username_check CHECK (((char_length(username) >= 3) AND (char_length(username) <= 50)))
);

ALTER TABLE ONLY public.avatars
    ADD CONSTRAINT avatars_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.channel_bans
    ADD CONSTRAINT channel_bans_pkey PRIMARY KEY (channel_id, user_id);

ALTER TABLE ONLY public.channel_members
    ADD CONSTRAINT channel_members_pkey PRIMARY KEY (channel_id, user_id);

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT channels_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (user_id, contact_id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (user_id, token_hash);

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (group_id, user_id);

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_channel_key UNIQUE (channel_id, user_id);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_group_key UNIQUE (group_id, user_id);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.message_reactions
    ADD CONSTRAINT message_reactions_pkey PRIMARY KEY (channel_id, message_id, emoji, user_id);

ALTER TABLE ONLY public.message_states
    ADD CONSTRAINT message_states_pkey PRIMARY KEY (channel_id, message_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_id_key UNIQUE (channel_id, id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (channel_id, seq);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.reserved_names
    ADD CONSTRAINT reserved_names_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sync_watermarks
    ADD CONSTRAINT sync_watermarks_pkey PRIMARY KEY (partition);

ALTER TABLE ONLY public.token_keys
    ADD CONSTRAINT token_keys_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX avatars_hash_idx ON public.avatars USING btree (hash);

CREATE INDEX channel_bans_user_id_idx ON public.channel_bans USING btree (user_id);

CREATE INDEX channel_members_user_id_idx ON public.channel_members USING btree (user_id);

CREATE UNIQUE INDEX channels_direct_key ON public.channels USING btree (direct_low, direct_high) WHERE (kind = 'direct'::text);

CREATE UNIQUE INDEX channels_group_lookalike_key ON public.channels USING btree (group_id, lookalike) WHERE ((group_id IS NOT NULL) AND (deleted_at IS NULL) AND (archived_at IS NULL));

CREATE UNIQUE INDEX channels_group_name_key ON public.channels USING btree (group_id, lower(name)) WHERE ((group_id IS NOT NULL) AND (deleted_at IS NULL) AND (archived_at IS NULL));

CREATE INDEX channels_no_lookalike_idx ON public.channels USING btree (id) WHERE ((lookalike IS NULL) AND (deleted_at IS NULL) AND (kind <> 'direct'::text));

CREATE UNIQUE INDEX channels_public_lookalike_key ON public.channels USING btree (lookalike) WHERE ((kind = 'public'::text) AND (group_id IS NULL) AND (deleted_at IS NULL) AND (archived_at IS NULL));

CREATE UNIQUE INDEX channels_public_name_key ON public.channels USING btree (lower(name)) WHERE ((kind = 'public'::text) AND (group_id IS NULL) AND (deleted_at IS NULL) AND (archived_at IS NULL));

CREATE INDEX contacts_contact_id_idx ON public.contacts USING btree (contact_id, state);

CREATE INDEX devices_token_hash_idx ON public.devices USING btree (token_hash);

CREATE INDEX erasures_erased_at_idx ON public.erasures USING btree (erased_at);

CREATE INDEX erasures_waiting_idx ON public.erasures USING btree (user_id) WHERE (scrubbed_at IS NULL);

CREATE INDEX group_members_user_id_idx ON public.group_members USING btree (user_id);

CREATE INDEX invitations_invited_by_idx ON public.invitations USING btree (invited_by);

CREATE INDEX invitations_user_id_idx ON public.invitations USING btree (user_id, id) WHERE (declined_at IS NULL);

CREATE INDEX message_states_waiting_idx ON public.message_states USING btree (channel_id) WHERE waiting;

CREATE INDEX messages_changes_idx ON public.messages USING btree (channel_id, target, kind, seq) WHERE (kind = ANY (ARRAY['edit'::text, 'delete'::text, 'reaction'::text]));

CREATE INDEX messages_member_name_idx ON public.messages USING btree (target) WHERE ((data ->> 'username'::text) IS NOT NULL);

CREATE INDEX messages_mentions_idx ON public.messages USING btree (channel_id, seq) WHERE ((kind = 'message'::text) AND ((data -> 'mentions'::text) IS NOT NULL));

CREATE INDEX messages_sender_name_idx ON public.messages USING btree (sender_id) WHERE ((data ->> 'sender_name'::text) IS NOT NULL);

CREATE INDEX outbox_order_idx ON public.outbox USING btree (COALESCE(channel_id, subject_id), id);

CREATE INDEX refresh_tokens_session_id_idx ON public.refresh_tokens USING btree (session_id);

CREATE INDEX reserved_names_until_idx ON public.reserved_names USING btree (until);

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id, created_at DESC);

CREATE INDEX users_display_name_prefix_idx ON public.users USING btree (lower(display_name) text_pattern_ops) WHERE (deleted_at IS NULL);

CREATE UNIQUE INDEX users_email_key ON public.users USING btree (lower(email));

CREATE UNIQUE INDEX users_lookalike_key ON public.users USING btree (lookalike);

CREATE INDEX users_no_lookalike_idx ON public.users USING btree (id) WHERE ((lookalike IS NULL) AND (deleted_at IS NULL));

CREATE UNIQUE INDEX users_username_key ON public.users USING btree (lower(username));

CREATE INDEX users_username_prefix_idx ON public.users USING btree (lower(username) text_pattern_ops) WHERE (deleted_at IS NULL);

CREATE TRIGGER channel_members_came AFTER INSERT ON public.channel_members REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.count_channel_members();

CREATE TRIGGER channel_members_went AFTER DELETE ON public.channel_members REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.count_channel_members();

CREATE TRIGGER outbox_notify AFTER INSERT ON public.outbox FOR EACH ROW WHEN ((new.kind = 'direct_opened'::text)) EXECUTE FUNCTION public.notify_outbox();

CREATE TRIGGER users_erased AFTER UPDATE OF deleted_at ON public.users FOR EACH ROW WHEN (((new.deleted_at IS NOT NULL) AND (old.deleted_at IS NULL))) EXECUTE FUNCTION public.note_erasure();

ALTER TABLE ONLY public.avatars
    ADD CONSTRAINT avatars_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.channel_bans
    ADD CONSTRAINT channel_bans_banned_by_fkey FOREIGN KEY (banned_by) REFERENCES public.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.channel_bans
    ADD CONSTRAINT channel_bans_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.channel_bans
    ADD CONSTRAINT channel_bans_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.channel_members
    ADD CONSTRAINT channel_members_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.channel_members
    ADD CONSTRAINT channel_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT channels_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT channels_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.groups(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.groups(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.groups(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

REVOKE ALL ON FUNCTION public.blocked_between(one uuid, other uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.blocked_between(one uuid, other uuid) TO parley_chat;
GRANT ALL ON FUNCTION public.blocked_between(one uuid, other uuid) TO parley_ws;

REVOKE ALL ON FUNCTION public.blocks_of(users uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.blocks_of(users uuid[]) TO parley_chat;
GRANT ALL ON FUNCTION public.blocks_of(users uuid[]) TO parley_ws;

REVOKE ALL ON FUNCTION public.direct_blocked(channel uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.direct_blocked(channel uuid) TO parley_chat;
GRANT ALL ON FUNCTION public.direct_blocked(channel uuid) TO parley_ws;

REVOKE ALL ON FUNCTION public.name_digest(lookalike text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.name_digest(lookalike text) TO parley_chat;

REVOKE ALL ON FUNCTION public.notify_outbox() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.open_direct_channel(from_user uuid, to_user uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.open_direct_channel(from_user uuid, to_user uuid) TO parley_ws;
GRANT ALL ON FUNCTION public.open_direct_channel(from_user uuid, to_user uuid) TO parley_chat;

REVOKE ALL ON FUNCTION public.unknown_users(ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.unknown_users(ids uuid[]) TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.avatars TO parley_chat;

GRANT SELECT,INSERT,DELETE ON TABLE public.channel_bans TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.channel_members TO parley_chat;
GRANT SELECT ON TABLE public.channel_members TO parley_ws;
GRANT SELECT ON TABLE public.channel_members TO parley_sync;

GRANT UPDATE(last_delivered_seq) ON TABLE public.channel_members TO parley_sync;

GRANT UPDATE(last_read_seq) ON TABLE public.channel_members TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.channels TO parley_chat;
GRANT SELECT ON TABLE public.channels TO parley_ws;
GRANT SELECT ON TABLE public.channels TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contacts TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.devices TO parley_chat;

GRANT SELECT,INSERT ON TABLE public.erasures TO parley_chat;
GRANT SELECT ON TABLE public.erasures TO parley_ws;
GRANT SELECT ON TABLE public.erasures TO parley_sync;

GRANT UPDATE(scrubbed_at) ON TABLE public.erasures TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.group_members TO parley_chat;

GRANT SELECT(group_id) ON TABLE public.group_members TO parley_ws;

GRANT SELECT(user_id) ON TABLE public.group_members TO parley_ws;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.groups TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.invitations TO parley_chat;

GRANT SELECT ON TABLE public.message_reactions TO parley_chat;
GRANT SELECT ON TABLE public.message_reactions TO parley_ws;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.message_reactions TO parley_sync;

GRANT SELECT ON TABLE public.message_states TO parley_chat;
GRANT SELECT ON TABLE public.message_states TO parley_ws;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.message_states TO parley_sync;

GRANT SELECT ON TABLE public.messages TO parley_chat;
GRANT SELECT ON TABLE public.messages TO parley_ws;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.messages TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.outbox TO parley_chat;

GRANT SELECT(id) ON TABLE public.outbox TO parley_ws;

GRANT SELECT(kind) ON TABLE public.outbox TO parley_ws;

GRANT SELECT(channel_id) ON TABLE public.outbox TO parley_ws;

GRANT SELECT(subject_id) ON TABLE public.outbox TO parley_ws;

GRANT SELECT ON TABLE public.parley_schema_version TO parley_chat;
GRANT SELECT ON TABLE public.parley_schema_version TO parley_ws;
GRANT SELECT ON TABLE public.parley_schema_version TO parley_sync;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.refresh_tokens TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.reserved_names TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sessions TO parley_chat;

GRANT SELECT,INSERT,UPDATE ON TABLE public.sync_watermarks TO parley_sync;
GRANT SELECT ON TABLE public.sync_watermarks TO parley_ws;
GRANT SELECT ON TABLE public.sync_watermarks TO parley_chat;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.token_keys TO parley_chat;

GRANT SELECT(kid) ON TABLE public.token_keys TO parley_ws;

GRANT SELECT(public_key) ON TABLE public.token_keys TO parley_ws;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.users TO parley_chat;

GRANT SELECT(id) ON TABLE public.users TO parley_ws;

GRANT SELECT(username) ON TABLE public.users TO parley_ws;

GRANT SELECT(display_name) ON TABLE public.users TO parley_ws;

GRANT SELECT(deleted_at) ON TABLE public.users TO parley_ws;
