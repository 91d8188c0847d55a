// Made by scripts/rest-types.mjs from docs/openapi.yaml: run `npm run generate`, do not edit.

export type UserID = string;

export type SessionID = string;

export type ChannelID = string;

export type GroupID = string;

export type EventID = string;

export type ClientID = string;

export type NullableUserID = string | null;

export type NullableChannelID = string | null;

export type NullableGroupID = string | null;

export type NullableEventID = string | null;

export type NullableClientID = string | null;

export type Time = string;

export type NullableTime = string | null;

export type Seq = number;

export type NullableSeq = number | null;

/** Null on the last page. */
export type NextCursor = string | null;

export type Role = "owner" | "admin" | "member";

/** `public`: listed, and anyone may join. `unlisted`: anyone who knows the id may join. `private`: only by invitation. `direct`: between two users. */
export type ChannelKind = "public" | "unlisted" | "private" | "direct";

export type NewChannelKind = "public" | "unlisted" | "private";

/** How the client receives its tokens. With `bearer`, no cookies are set. */
export type SessionMode = "cookie" | "bearer";

/** `requested`: the caller has sent a request. `received`: the other user has sent one. `accepted`: the two are contacts. `blocked`: the caller has blocked the other user. */
export type ContactState = "requested" | "received" | "accepted" | "blocked";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly errors?: readonly ProblemField[];
  readonly request_id: string;
}

export type ProblemCode = "bad_frame" | "too_large" | "invalid_body" | "unauthenticated" | "forbidden" | "not_found" | "conflict" | "rate_limited" | "overloaded" | "unavailable" | "internal" | "invalid_request" | "invalid_credentials" | "account_suspended" | "username_taken" | "email_taken" | "name_taken" | "foreign_origin" | "method_not_allowed" | "unsupported_media_type" | "misdirected";

export interface ProblemField {
  /** The name of a field, parameter or header. */
  readonly field: string;
  readonly code: FieldCode;
  /** For people; may change. It follows the name of the field, as in "must not be blank". */
  readonly message: string;
  /** The lower limit of the rule, if it has one. */
  readonly min?: number;
  /** The upper limit of the rule, if it has one. */
  readonly max?: number;
}

/** The rule that a field violates. Codes are stable; further ones may be added, and then `message` explains the rule. `min` and `max` are numbers of characters (`length`), bytes (`bytes`), MiB (`picture_size`) or pixels per side (`picture_pixels`), or the smallest and largest value (`range`). `characters`: the text contains a character that is not allowed. `taken` and `lookalike`: another user or channel has this name, or a name that looks like it. `wrong`: the current password is wrong. `message`: not a message in this channel. */
export type FieldCode = "required" | "blank" | "length" | "bytes" | "range" | "type" | "enum" | "uuid" | "ids" | "characters" | "repeated" | "invalid" | "username_characters" | "mixed_scripts" | "reserved" | "taken" | "lookalike" | "email" | "common_password" | "own_name" | "wrong" | "emoji" | "https" | "picture_address" | "picture_unreachable" | "picture_format" | "picture_size" | "picture_pixels" | "picture_disabled" | "other_user" | "message" | "cursor" | "combination" | "idempotency_key";

export interface SignUp {
  readonly username: string;
  readonly email: string;
  readonly password: NewPassword;
  readonly session?: SessionMode;
  readonly device_token?: DeviceToken;
}

export interface LogIn {
  /** Username or email address. Text that cannot be either is treated as an unknown login. */
  readonly login: string;
  readonly password: string;
  readonly session?: SessionMode;
  readonly device_token?: DeviceToken;
}

/** 8 to 200 characters, counted after composition (NFC). Passwords are normalized, so it does not matter how a keyboard composes characters or which kind of space it sends. */
export type NewPassword = string;

/** Proves, at a login, that the user has logged in from this device before. Clients store it for the next login. */
export type DeviceToken = string;

export interface RefreshToken {
  readonly refresh_token?: string;
}

export interface LoggedIn {
  readonly user?: Me;
  /** A JWT. Only in bearer sessions, because scripts must not be able to read the token of a cookie session. */
  readonly access_token?: string;
  /** Only in bearer sessions. */
  readonly refresh_token?: string;
  readonly device_token?: DeviceToken;
  /** Seconds until the access token expires. */
  readonly expires_in: number;
}

export interface PasswordProof {
  readonly password: string;
}

export interface PasswordChange {
  /** The current password. */
  readonly password: string;
  readonly new_password: NewPassword;
  readonly device_token?: DeviceToken;
}

export interface Session {
  readonly id: SessionID;
  readonly user_agent: string;
  readonly address: string;
  readonly created_at: Time;
  readonly last_used_at: Time;
  readonly expires_at: Time;
  /** Whether this request belongs to the session. */
  readonly current: boolean;
}

export interface SessionPage {
  readonly items: readonly Session[];
  readonly next_cursor: NextCursor;
}

export interface Me {
  readonly id: UserID;
  readonly username: string;
  readonly email: string;
  readonly display_name: string;
  readonly bio: string;
  /** Path of the picture on this server (`/v1/avatars/…`), or empty if there is none. */
  readonly avatar_url: string;
  readonly created_at: Time;
  /** Whether the user may read `/v1/ops/metrics`. */
  readonly operator: boolean;
}

export interface OpsMetrics {
  readonly at: Time;
  readonly targets: readonly OpsTarget[];
  readonly totals: OpsFigures;
  readonly streams: OpsStreams;
  /** Empty if no sync-service reports the streams. */
  readonly partitions: readonly OpsPartition[];
}

/** One instance. */
export interface OpsTarget {
  /** The address of its metrics. */
  readonly url: string;
  readonly up: boolean;
  /** Why the instance is not up. */
  readonly problem: string | null;
  readonly figures: OpsFigures;
}

/** Figures of one instance, or the totals of all instances. A figure is null if no instance reports it. All figures except `connections` are counters since the start of the instance. If a counter decreases, the instance was restarted. */
export interface OpsFigures {
  /** Open WebSockets. */
  readonly connections: number | null;
  /** Events acknowledged on WebSockets, without duplicates. */
  readonly sends: number | null;
  /** Events delivered to connections. */
  readonly deliveries: number | null;
  /** Error frames. */
  readonly errors: number | null;
  /** Rows stored in PostgreSQL. */
  readonly inserted: number | null;
  /** Steps of storing batches that had to be retried. */
  readonly retries: number | null;
  /** REST requests answered. */
  readonly requests: number | null;
}

/** The streams of all partitions together. `partitions` has the figures for each partition. */
export interface OpsStreams {
  /** Whether a sync-service could read the streams. If false, the other fields are meaningless. */
  readonly known: boolean;
  /** Entries in the streams, including those already stored in PostgreSQL. */
  readonly entries: number;
  /** Entries that no sync-service has read yet. */
  readonly lag_entries: number;
  /** Age of the oldest entry that is not stored. */
  readonly lag_seconds: number;
  /** Entries that were read but are not stored yet. */
  readonly pending: number;
  /** Dead letters. */
  readonly dead: number;
  /** Receipt entries that are not stored yet. */
  readonly receipts: number;
  /** Age of the oldest receipt entry that is not stored. */
  readonly receipts_seconds: number;
  /** Share of `maxmemory`, 0 to 1, that the fullest Redis server uses. Null if no server has a `maxmemory`, or if no sync-service reports it. */
  readonly memory_share: number | null;
  /** Whether Redis uses more memory than REDIS_TRIM_AT although nothing is left to trim. */
  readonly memory_over_budget: boolean;
  /** Entries that were removed before they were stored, as counted by the instances. */
  readonly vanished: number;
  /** Redis settings, such as appendonly, with values that can lose acknowledged messages. */
  readonly unsafe_settings: readonly string[];
}

export interface OpsPartition {
  readonly partition: number;
  readonly entries: number;
  readonly lag_entries: number;
  readonly lag_seconds: number;
  readonly pending: number;
  readonly dead: number;
}

export interface ProfileChange {
  /** A name, or empty. Leading and trailing blanks are removed. */
  readonly display_name?: string | null;
  /** Several lines of text, or empty. CRLF and CR become LF. */
  readonly bio?: string | null;
  /** The address of a PNG, JPEG, GIF or WebP picture on a public host, with at most 2 MiB and 4096 × 4096 pixels. The server fetches it once and keeps a small square copy. An empty string removes the picture. Sending the address that the account already has changes nothing. */
  readonly avatar_url?: string | null;
}

export interface User {
  readonly id: UserID;
  /** Empty if the account is deleted. */
  readonly username: string;
  readonly display_name: string;
  readonly bio: string;
  /** Path of the picture on this server (`/v1/avatars/…`), or empty if there is none. */
  readonly avatar_url: string;
  readonly created_at: Time;
  /** Whether the account is deleted. */
  readonly deleted: boolean;
}

export interface Profiles {
  readonly items: readonly User[];
}

export interface UserPage {
  readonly items: readonly User[];
  readonly next_cursor: NextCursor;
}

export interface UserRef {
  readonly user_id: UserID;
}

export interface Contact {
  readonly user_id: UserID;
  readonly username: string;
  readonly display_name: string;
  readonly state: ContactState;
  readonly since: Time;
}

export interface ContactPage {
  readonly items: readonly Contact[];
  readonly next_cursor: NextCursor;
}

export interface Group {
  readonly id: GroupID;
  readonly name: string;
  readonly description: string;
  readonly created_by: NullableUserID;
  readonly created_at: Time;
  readonly role: Role;
  readonly member_count: number;
}

export interface GroupPage {
  readonly items: readonly Group[];
  readonly next_cursor: NextCursor;
}

export interface GroupCreation {
  readonly name: string;
  readonly description?: string;
}

export interface GroupChange {
  readonly name?: string | null;
  readonly description?: string | null;
}

export interface Member {
  readonly user_id: UserID;
  readonly username: string;
  readonly display_name: string;
  readonly role: Role;
  readonly joined_at: Time;
}

export interface MemberPage {
  readonly items: readonly Member[];
  readonly next_cursor: NextCursor;
}

export type InvitationID = string;

/** An invitation to a channel or a group. The id of the other kind is null. */
export interface Invitation {
  readonly id: InvitationID;
  readonly channel_id: NullableChannelID;
  readonly group_id: NullableGroupID;
  /** Name of the channel or group. */
  readonly name: string;
  readonly user_id: UserID;
  /** Username of the invited user. */
  readonly username: string;
  readonly invited_by: UserID;
  /** Username of the user who sent the invitation. */
  readonly invited_by_name: string;
  readonly role: Role;
  readonly created_at: Time;
}

export interface InvitationPage {
  readonly items: readonly Invitation[];
  readonly next_cursor: NextCursor;
}

export interface Candidates {
  readonly items: readonly Candidate[];
}

export interface Candidate {
  readonly user_id: UserID;
  readonly state: CandidateState;
}

/** `member`: already a member. `invited`: has an open invitation, and adding does not make the user a member. `banned`: banned from the channel. `outside_group`: the channel belongs to a group, and the user is not a member of the group. `addable`: adding makes the user a member. `invitable`: adding invites the user. */
export type CandidateState = "member" | "invited" | "banned" | "outside_group" | "addable" | "invitable";

export interface Ban {
  readonly user_id: UserID;
  readonly username: string;
  readonly display_name: string;
  readonly banned_by: NullableUserID;
  readonly banned_at: Time;
}

export interface BanPage {
  readonly items: readonly Ban[];
  readonly next_cursor: NextCursor;
}

export interface MemberAddition {
  readonly user_id: UserID;
  readonly role?: Role;
}

export interface RoleChange {
  readonly role: Role;
}

export interface Channel {
  readonly id: ChannelID;
  /** Empty for a direct channel. */
  readonly name: string;
  readonly kind: ChannelKind;
  readonly description: string;
  readonly group_id: NullableGroupID;
  readonly created_by: NullableUserID;
  readonly created_at: Time;
  readonly role?: Role;
  readonly peer?: Peer;
  readonly mention_all: MentionAll;
  readonly member_count: number;
  readonly last_seq: Seq;
  readonly last_read_seq: Seq;
  /** The channel's last seq when you joined. Messages up to it do not count as unread. Absent if you are not a member. */
  readonly joined_seq?: number;
  /** Exact up to 999; 1000 means 1000 or more. */
  readonly unread: number;
  /** Exact up to 999; 1000 means 1000 or more. */
  readonly unread_mentions: number;
}

export interface ChannelPreview {
  readonly id: ChannelID;
  /** Empty for a direct channel. */
  readonly name: string;
  readonly kind: ChannelKind;
  readonly description: string;
  readonly member_count: number;
  /** Whether the caller is banned from the channel, so that joining is refused. */
  readonly banned: boolean;
}

/** The other user of a direct channel. */
export interface Peer {
  readonly user_id: UserID;
  readonly username: string;
  readonly display_name: string;
}

export interface ChannelPage {
  readonly items: readonly Channel[];
  readonly next_cursor: NextCursor;
}

/** Determines which members may mention all others with @channel. From anyone else, @channel is plain text. */
export type MentionAll = "everyone" | "admins";

export interface ChannelCreation {
  readonly name: string;
  readonly kind: NewChannelKind;
  readonly description?: string;
  readonly mention_all?: MentionAll;
  readonly group_id?: NullableGroupID;
}

export interface GroupChannelCreation {
  readonly name: string;
  readonly kind: NewChannelKind;
  readonly description?: string;
  readonly mention_all?: MentionAll;
}

export interface ChannelChange {
  readonly name?: string | null;
  readonly description?: string | null;
  readonly mention_all?: MentionAll;
}

export interface Message {
  readonly id: EventID;
  readonly channel_id: ChannelID;
  readonly seq: Seq;
  readonly client_id: NullableClientID;
  readonly sender_id: UserID;
  /** Empty if the account is deleted. */
  readonly sender_name: string;
  /** Whether the sender's account is deleted. */
  readonly sender_deleted?: boolean;
  /** Empty if the message is deleted or the caller may not see this version of it (see listMessages). */
  readonly body: string;
  readonly reply_to: NullableEventID;
  /** Members the body mentions by @username. The id of the channel stands for @channel. */
  readonly mentions: readonly UserID[];
  readonly sent_at: Time;
  readonly edited_at: NullableTime;
  readonly deleted_at: NullableTime;
  readonly reactions: readonly Reaction[];
}

export interface Reaction {
  /** One Unicode emoji in its fully qualified form. */
  readonly emoji: string;
  /** Number of users who have reacted with this emoji. */
  readonly count: number;
  /** The first 20 users. The caller is always included if they have reacted with this emoji. */
  readonly user_ids: readonly UserID[];
}

export interface ReactionsRemoved {
  readonly removed: number;
  /** Whether more reactions match. Repeat the request to remove them. */
  readonly more: boolean;
}

export interface MessagePage {
  readonly items: readonly Message[];
  readonly next_cursor: NextCursor;
  /** The point of the page, if the request had `as_of_seq` or `as_of` or continues such a list. */
  readonly as_of_seq?: number;
}

/** The difference between a message at two points. */
export interface MessageChange {
  readonly message: Message;
  /** Whether the message was sent between the two points. */
  readonly created: boolean;
  /** Whether the message was edited between the two points. False for a deleted message. */
  readonly edited: boolean;
  /** Whether the message was deleted between the two points. */
  readonly deleted: boolean;
  /** Reactions that exist at the later point, but not at the earlier one. */
  readonly reactions_added: readonly Reaction[];
  /** Reactions that exist at the earlier point, but not at the later one. */
  readonly reactions_removed: readonly Reaction[];
}

export interface MessageChangePage {
  readonly items: readonly MessageChange[];
  readonly next_cursor: NextCursor;
}

export interface MessageCreation {
  /** At most 16 KiB of UTF-8, not blank, without control characters except newline and tab. CRLF and CR are converted to LF first. */
  readonly body: string;
  readonly reply_to?: NullableEventID;
  readonly client_id?: NullableClientID;
}

export interface Ack {
  readonly channel_id: ChannelID;
  readonly client_id: ClientID;
  readonly id: EventID;
  readonly seq: Seq;
  readonly sent_at: Time;
  readonly duplicate: boolean;
}

/** An event in the form that subscribers receive. [The WebSocket protocol](/docs/websocket#events) lists the fields of each kind. */
export interface Event {
  readonly type: string;
  readonly channel_id: ChannelID;
  readonly seq: Seq;
  readonly id: EventID;
  readonly client_id?: NullableClientID;
  readonly message_id?: NullableEventID;
  readonly sender_id?: UserID;
  readonly sender_name?: string;
  readonly user_id?: NullableUserID;
  readonly username?: string;
  readonly channel?: Record<string, unknown>;
  readonly body?: string;
  readonly mentions?: readonly UserID[];
  readonly reply_to?: NullableEventID;
  readonly emoji?: string;
  readonly remove?: boolean;
  readonly removed_by?: NullableUserID;
  readonly from?: Seq;
  readonly to?: Seq;
  readonly sent_at: Time;
}

export interface EventPage {
  readonly items: readonly Event[];
  readonly next_cursor: NextCursor;
}

export interface Receipt {
  readonly user_id: UserID;
  readonly delivered: boolean;
  readonly read: boolean;
}

export interface Receipts {
  readonly message_id: EventID;
  readonly seq: Seq;
  readonly member_count: number;
  readonly delivered_count: number;
  readonly read_count: number;
  readonly items: readonly Receipt[];
  readonly next_cursor: NextCursor;
}

export interface CursorMove {
  readonly delivered_seq?: NullableSeq;
  readonly read_seq?: NullableSeq;
}

export interface MemberCursor {
  readonly delivered_seq: Seq;
  readonly read_seq: Seq;
}
