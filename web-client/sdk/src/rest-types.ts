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

/** null at the end */
export type NextCursor = string | null;

export type Role = "owner" | "admin" | "member";

/** public: listed, anyone may join; unlisted: anyone who knows the id may join; private: by invitation; direct: of two users */
export type ChannelKind = "public" | "unlisted" | "private" | "direct";

export type NewChannelKind = "public" | "unlisted" | "private";

/** where the tokens go; with bearer no cookies are set */
export type SessionMode = "cookie" | "bearer";

/** requested: I have asked; received: they have asked; accepted: contacts; blocked: by me */
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
  /** the name of a field, a parameter or a header */
  readonly field: string;
  readonly message: string;
}

export interface SignUp {
  readonly username: string;
  readonly email: string;
  readonly password: NewPassword;
  readonly session?: SessionMode;
  readonly device_token?: DeviceToken;
}

export interface LogIn {
  /** username or email address; what can be neither is like any that nobody has */
  readonly login: string;
  readonly password: string;
  readonly session?: SessionMode;
  readonly device_token?: DeviceToken;
}

/** 8 to 200 characters, counted once they are composed (NFC). However a keyboard composes characters, and whatever space it sends, the password is the same */
export type NewPassword = string;

/** shows, at a login, that this device has logged in before; stored for the next login */
export type DeviceToken = string;

export interface RefreshToken {
  readonly refresh_token?: string;
}

export interface LoggedIn {
  readonly user?: Me;
  /** a JWT. Only of a bearer session: no script can read that of a session in cookies */
  readonly access_token?: string;
  /** only of a bearer session */
  readonly refresh_token?: string;
  readonly device_token?: DeviceToken;
  /** seconds that the access token is good for */
  readonly expires_in: number;
}

export interface PasswordProof {
  readonly password: string;
}

export interface PasswordChange {
  /** the one of now */
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
  /** the one that asks */
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
  /** path of the picture on this server, /v1/avatars/…; empty if there is none */
  readonly avatar_url: string;
  readonly created_at: Time;
  /** whether they may ask for /v1/ops/metrics */
  readonly operator: boolean;
}

export interface OpsMetrics {
  readonly at: Time;
  readonly targets: readonly OpsTarget[];
  readonly totals: OpsFigures;
  readonly streams: OpsStreams;
  /** empty while no sync-service says anything of the streams */
  readonly partitions: readonly OpsPartition[];
}

/** one instance */
export interface OpsTarget {
  /** where its metrics are */
  readonly url: string;
  readonly up: boolean;
  /** if it is not up, why */
  readonly problem: string | null;
  readonly figures: OpsFigures;
}

/** Of an instance, or of all together; null where nobody has such a figure. All but `connections` are counted since the start of the instance: one that has become less has begun anew. */
export interface OpsFigures {
  /** open WebSockets */
  readonly connections: number | null;
  /** events acknowledged on sockets, repeated ones left out */
  readonly sends: number | null;
  /** events handed to connections */
  readonly deliveries: number | null;
  /** error frames */
  readonly errors: number | null;
  /** rows stored in PostgreSQL */
  readonly inserted: number | null;
  /** steps of storing that had to be repeated */
  readonly retries: number | null;
  /** REST requests answered */
  readonly requests: number | null;
}

/** the streams of all partitions together; as OpsPartition has them */
export interface OpsStreams {
  /** whether a sync-service could read them; if not, the rest is worth nothing */
  readonly known: boolean;
  /** in the streams, stored ones included */
  readonly entries: number;
  /** not yet read by a sync-service */
  readonly lag_entries: number;
  /** age of the oldest that is not stored */
  readonly lag_seconds: number;
  /** read and not yet stored */
  readonly pending: number;
  /** dead letters */
  readonly dead: number;
  /** entries of cursor moves that are not stored */
  readonly receipts: number;
  /** age of the oldest of these */
  readonly receipts_seconds: number;
  /** Redis is above REDIS_TRIM_AT with nothing left to trim */
  readonly memory_over_budget: boolean;
  /** entries that were removed before they were stored, as the instances have counted */
  readonly vanished: number;
  /** settings of Redis with which it can lose acknowledged messages, such as appendonly */
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
  /** without blanks around it; empty, or a name */
  readonly display_name?: string | null;
  readonly bio?: string | null;
  /** The address of a PNG, JPEG, GIF or WebP picture, of at most 2 MiB and 4096 × 4096 pixels, on a public host. The server fetches it once and keeps a small square copy. Empty: no picture. The address that the account has changes nothing. */
  readonly avatar_url?: string | null;
}

export interface User {
  readonly id: UserID;
  /** empty when the account is deleted */
  readonly username: string;
  readonly display_name: string;
  readonly bio: string;
  /** path of the picture on this server, /v1/avatars/…; empty if there is none */
  readonly avatar_url: string;
  readonly created_at: Time;
  /** the account is deleted */
  readonly deleted: boolean;
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

/** Into a channel or a group; the other of the two ids is null. */
export interface Invitation {
  readonly id: InvitationID;
  readonly channel_id: NullableChannelID;
  readonly group_id: NullableGroupID;
  /** of the channel or group */
  readonly name: string;
  readonly user_id: UserID;
  /** of the invited user */
  readonly username: string;
  readonly invited_by: UserID;
  /** username of the user who sent it */
  readonly invited_by_name: string;
  readonly role: Role;
  readonly created_at: Time;
}

export interface InvitationPage {
  readonly items: readonly Invitation[];
  readonly next_cursor: NextCursor;
}

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
  /** empty for a direct channel */
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
  /** exact up to 999; 1000 means more */
  readonly unread: number;
  /** exact up to 999; 1000 means more */
  readonly unread_mentions: number;
}

/** the other user of a direct channel */
export interface Peer {
  readonly user_id: UserID;
  readonly username: string;
  readonly display_name: string;
}

export interface ChannelPage {
  readonly items: readonly Channel[];
  readonly next_cursor: NextCursor;
}

/** who may call all members with @channel; for others it is plain text */
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
  /** empty when the account is deleted */
  readonly sender_name: string;
  /** the account is deleted */
  readonly sender_deleted?: boolean;
  /** empty when deleted */
  readonly body: string;
  readonly reply_to: NullableEventID;
  /** members whose @username the body has; the id of the channel stands for @channel */
  readonly mentions: readonly UserID[];
  readonly sent_at: Time;
  readonly edited_at: NullableTime;
  readonly deleted_at: NullableTime;
  readonly reactions: readonly Reaction[];
}

export interface Reaction {
  /** one emoji of Unicode in its fully qualified form */
  readonly emoji: string;
  /** of all users */
  readonly count: number;
  /** the first 20 users; the caller is among them if they have reacted so */
  readonly user_ids: readonly UserID[];
}

export interface ReactionsRemoved {
  readonly removed: number;
  /** there are more that match; ask again */
  readonly more: boolean;
}

export interface MessagePage {
  readonly items: readonly Message[];
  readonly next_cursor: NextCursor;
}

export interface MessageCreation {
  /** at most 16 KiB of UTF-8, not blank, without control characters except newline and tab. CRLF and CR become LF first */
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

/** an event as subscribers get it; docs/websocket.md says which kind has which fields */
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
